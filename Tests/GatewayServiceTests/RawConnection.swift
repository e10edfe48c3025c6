import NIOCore
import NIOPosix

/// A plain TCP connection, for what a well-behaved HTTP client would not send.
struct RawConnection: Sendable {
  private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>

  init(port: Int) async throws {
    channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel(wrappingChannelSynchronously: channel)
        }
      }
  }

  /// Sends `text`, reads until the server closes or `isEnough` says so, and closes.
  func exchange(_ text: String, until isEnough: @Sendable (String) -> Bool = { _ in false }) async throws -> String {
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: text))
      var answer = ""
      for try await bytes in inbound {
        answer += String(buffer: bytes)
        if isEnough(answer) { break }
      }
      return answer
    }
  }

  /// Sends `text`, and breaks the connection off once `isTime` returns.
  func send(_ text: String, thenLeaveAfter isTime: @Sendable () async throws -> Void) async throws {
    try await channel.executeThenClose { _, outbound in
      try await outbound.write(ByteBuffer(string: text))
      try await isTime()
    }
  }

  /// Sends `head`, then one byte at each interval, and returns what the server says until it closes.
  func trickle(_ head: String, every interval: Duration) async throws -> String {
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: head))
      return await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          while true {
            try await Task.sleep(for: interval)
            try await outbound.write(ByteBuffer(string: " "))
          }
        }
        defer { group.cancelAll() }
        var answer = ""
        do {
          for try await bytes in inbound { answer += String(buffer: bytes) }
        } catch {
          // A close with bytes on their way comes as a reset.
        }
        return answer
      }
    }
  }

  /// Sends `head`, then `piece` again and again, and says how many went out before the server closed. Each is waited
  /// for until the socket has it: a writer that only queues may be done before the first byte is on its way.
  func flood(_ head: String, _ piece: String, atMost limit: Int) async throws -> Int {
    var sent = 0
    do {
      try await channel.executeThenClose { _, _ in
        try await channel.channel.writeAndFlush(ByteBuffer(string: head))
        let bytes = ByteBuffer(string: piece)
        while sent < limit {
          try await channel.channel.writeAndFlush(bytes)
          sent += 1
        }
      }
    } catch where sent > 0 {
      // The server's closing is what this waits for.
    }
    return sent
  }
}
