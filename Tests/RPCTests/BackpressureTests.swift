import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// One side does not read while the other writes without end: the writer waits, what is buffered is bounded, and then
/// everything arrives in order. For each kind of call, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct BackpressureTests {
  private static let messageBytes = 10_000
  private static let messages = 1_000
  /// A stream's window, what a writer may run ahead, and what may be on its way in sockets and their buffers.
  private static let most = 1_000_000

  private let numbered = Codec<Int>(
    decode: { $0.getInteger(at: $0.readerIndex) ?? -1 },
    encode: { number, buffer in
      buffer.writeInteger(number)
      buffer.writeRepeatingByte(UInt8(truncatingIfNeeded: number), count: BackpressureTests.messageBytes - 8)
    })

  private var down: Method<String, Int> { Method("/test.Flood/Down", request: text, response: numbered) }
  private var up: Method<Int, String> { Method("/test.Flood/Up", request: numbered, response: text) }
  private var both: Method<Int, Int> { Method("/test.Flood/Both", request: numbered, response: numbered) }

  /// What a call holds, in bytes: messages in whole or part that nobody has read, and output that waits.
  private func held(_ call: Call) async throws -> (inbound: Int, output: Int) {
    try await call.loop.submit {
      (call.deframer.bufferedBytes, call.output?.bufferedBytes ?? 0)
    }.get()
  }

  private func expectBounded(_ call: Call) async throws {
    let (inbound, output) = try await held(call)
    #expect(inbound <= 256 * 1024 + Self.messageBytes)
    #expect(output <= Call.highWater + Self.messageBytes + 5)
  }

  @Test func serverStreaming() async throws {
    let written = Counter()
    let calls = Calls()
    var router = Router()
    router.serverStreaming(down) { _, responses, _ in
      calls.add(responses.call)
      for number in 0..<Self.messages {
        try await responses.write(number)
        written.add(Self.messageBytes)
      }
    }
    try await withPair(router) { (client, _) async throws in
      let responses = try await client.serverStreaming(down, "")
      var iterator = responses.makeAsyncIterator()
      try await settled { written.value }
      #expect(written.value < Self.most)
      calls.add(iterator.handle.call)
      for call in calls.all { try await expectBounded(call) }
      var received: [Int] = []
      while let number = try await iterator.next() { received.append(number) }
      #expect(received == Array(0..<Self.messages))
    }
  }

  @Test func clientStreaming() async throws {
    let (written, calls, release) = (Counter(), Calls(), Gate())
    var router = Router()
    router.clientStreaming(up) { requests, _ in
      calls.add(requests.call)
      await release.wait()
      var next = 0
      for try await number in requests where number == next { next += 1 }
      return "\(next)"
    }
    try await withPair(router) { (client, _) async throws in
      let answer = Task {
        try await client.clientStreaming(up) { requests in
          calls.add(requests.call)
          for number in 0..<Self.messages {
            try await requests.write(number)
            written.add(Self.messageBytes)
          }
        }
      }
      try await settled { written.value }
      #expect(written.value < Self.most)
      #expect(calls.all.count == 2)
      for call in calls.all { try await expectBounded(call) }
      await release.open()
      #expect(try await answer.value == "\(Self.messages)")
    }
  }

  /// Both write first and read afterwards: neither gets far, and neither direction holds the other back.
  @Test func bidirectional() async throws {
    let (up, down, calls, release) = (Counter(), Counter(), Calls(), Gate())
    var router = Router()
    router.bidirectional(both) { requests, responses, _ in
      calls.add(requests.call)
      async let writing: Void = {
        for number in 0..<Self.messages {
          try await responses.write(number)
          down.add(Self.messageBytes)
        }
      }()
      await release.wait()
      var next = 0
      for try await number in requests where number == next { next += 1 }
      try await writing
      try await responses.write(next == Self.messages ? -7 : -8)
    }
    try await withPair(router) { (client, _) async throws in
      try await client.bidirectional(both) { (requests, responses) async throws in
        calls.add(requests.call)
        async let writing: Void = {
          for number in 0..<Self.messages {
            try await requests.write(number)
            up.add(Self.messageBytes)
          }
          requests.finish()
        }()
        try await settled { up.value }
        try await settled { down.value }
        #expect(up.value < Self.most && down.value < Self.most)
        for call in calls.all { try await expectBounded(call) }
        await release.open()
        var received: [Int] = []
        for try await number in responses { received.append(number) }
        #expect(received == Array(0..<Self.messages) + [-7])
        try await writing
      }
    }
  }

  /// A unary response that its caller has no window for waits whole, and alone: other calls of the connection go on.
  @Test func unary() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address, window: 10)
    let message = String(repeating: "x", count: 1_000)
    let slow = try peer.request(path: Echo.say.path, body: peer.frame(message))
    let quick = try peer.request(path: Echo.say.path, body: peer.frame("abc"))
    #expect(try await peer.trailers(quick)["grpc-status"] == "0")
    for sum in stride(from: 10, through: 1_000, by: 10) {
      try await eventually("\(sum) bytes") { try peer.bodyBytes(slow) == sum }
      try peer.consume(slow, bytes: 10)
    }
    #expect(try await peer.trailers(slow)["grpc-status"] == "0")
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  /// Many streams share a connection; those nobody reads hold what their windows allow, and the others go on.
  @Test func oneThatDoesNotReadStopsNoOther() async throws {
    var router = Router()
    router.serverStreaming(down) { _, responses, _ in
      for number in 0..<Self.messages { try await responses.write(number) }
    }
    let release = Gate()
    router.clientStreaming(up) { requests, _ in
      await release.wait()
      var count = 0
      for try await _ in requests { count += 1 }
      return "\(count)"
    }
    router.unary(Echo.blob) { request, _ in request }
    try await withPair(router) { (client, _) async throws in
      // More than the connection's window in both directions, all unread.
      var unread: [ResponseStream<Int>] = []
      for _ in 0..<8 { unread.append(try await client.serverStreaming(down, "")) }
      async let writers: [String] = withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<8 {
          group.addTask {
            try await client.clientStreaming(up) { requests in
              for number in 0..<100 { try await requests.write(number) }
            }
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      for size in [10, 100_000, 2 << 20] {
        let blob = ByteBuffer(repeating: 7, count: size)
        for _ in 0..<5 { #expect(try await client.unary(Echo.blob, blob) == blob) }
      }
      await release.open()
      #expect(try await writers == Array(repeating: "100", count: 8))
      for stream in unread {
        var count = 0
        for try await number in stream where number == count { count += 1 }
        #expect(count == Self.messages)
      }
    }
  }

  @Test(arguments: [(1, 300), (2, 600), (100, 20_000), (10_000, 2 << 20), (65_535, 4 << 20)])
  func smallWindows(window: Int, bytes: Int) async throws {
    var (server, client) = (ServerOptions(), ClientOptions())
    server.streamWindow = window
    client.streamWindow = window
    try await withPair(server: server, client: client) { (client, _) async throws in
      var random = SeededRandom()
      let blob = ByteBuffer(bytes: (0..<bytes).map { _ in UInt8.random(in: 0...255, using: &random) })
      #expect(try await client.unary(Echo.blob, blob) == blob)
    }
  }

  /// Windows given back a few bytes at a time, by a peer that takes its time.
  @Test func slowWindowUpdates() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address, window: 3)
    let stream = try peer.request(path: Echo.expand.path, body: peer.frame("50 times"))
    var total = 3
    let expected = (0..<50).map { 5 + "\($0)".utf8.count }.reduce(0, +)
    while total < expected {
      let wanted = total
      try await eventually("\(wanted) bytes") { try peer.bodyBytes(stream) == wanted }
      let step = min(total % 3 + 1, expected - total)
      try peer.consume(stream, bytes: step)
      total += step
    }
    #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    await peer.close()
    await server.shutdown(grace: .zero)
  }
}

/// Calls to look into, from any thread.
private final class Calls: Sendable {
  private let list = NIOLockedValueBox<[Call]>([])
  func add(_ call: Call) { list.withLockedValue { $0.append(call) } }
  var all: [Call] { list.withLockedValue { $0 } }
}
