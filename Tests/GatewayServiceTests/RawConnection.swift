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

  /// Sends `head`, then `piece` again and again, and says how many went out before the server closed.
  func flood(_ head: String, _ piece: String, atMost limit: Int) async throws -> Int {
    var sent = 0
    do {
      try await channel.executeThenClose { _, outbound in
        try await outbound.write(ByteBuffer(string: head))
        let bytes = ByteBuffer(string: piece)
        while sent < limit {
          try await outbound.write(bytes)
          sent += 1
        }
      }
    } catch where sent > 0 {
      // The server's closing is what this waits for.
    }
    return sent
  }
}
