import HTTP2
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Calls that meet a connection as it fills, ends or begins, against servers of frames: nothing may hang, or loop.
@Suite(.timeLimit(.minutes(2)))
struct EdgeOfConnectionTests {
  private func withServer(
    _ manners: FrameServer.Manners = .init(), options: ClientOptions = .init(),
    answer: @escaping FrameServer.Answer, _ body: (Client, FrameServer) async throws -> Void
  ) async throws {
    let server = try await FrameServer.start(manners, answer)
    let client = Client(host: "127.0.0.1", port: server.port, options: options)
    do {
      try await body(client, server)
    } catch {
      Issue.record(error)
    }
    await client.close()
    await server.stop()
  }

  /// Answers unary calls, but for those to `Echo.expand`, which stay open.
  private static func answerUnary(_ requests: Counter, _ watches: Counter = Counter()) -> FrameServer.Answer {
    { session, event in
      switch event {
      case .headers(let headers):
        requests.add(1)
        if headers.block[":path"] == Echo.expand.path { watches.add(1) }
      case .end(let stream) where watches.value < requests.value: try session.answer(stream, "answered")
      default: break
      }
      return nil
    }
  }

  private static func request(_ channel: ClientChannel, ends: [CallEnd] = []) throws -> ClientCall {
    let frame = try Framing.encode("a", text, limit: 100)
    return ClientCall(
      channel: channel, path: Echo.say.path, options: .init(), request: frame, hasOneResponse: true, ends: ends)
  }

  // MARK: - Streams that never leave

  /// The segment that makes room for the waiting call says, too, that the connection takes no more.
  @Test func roomAndGoAwayAtOnce() async throws {
    let requests = Counter()
    var manners = FrameServer.Manners()
    manners.streams = 2
    let answer: FrameServer.Answer = { session, event in
      switch event {
      case .headers: requests.add(1)
      case .end(let stream) where stream == 3:
        try session.answer(stream, "second")
        return RawPeer.frame(7, [0, 0, 0, 3, 0, 0, 0, 0])
      case .end(let stream) where requests.value == 3: try session.answer(stream, "third")
      default: break
      }
      return nil
    }
    try await withServer(manners, answer: answer) { client, _ in
      let watch = try await client.serverStreaming(Echo.expand, "watch")
      try await eventually("the watch runs") { requests.value == 1 }
      let goOn = Gate()
      async let second = client.clientStreaming(Echo.collect) { _ in await goOn.wait() }
      try await eventually("both run") { try await client.look { $0.ready.first?.connectionWithRoom == nil } }
      async let third = client.unary(Echo.say, "a", .timeout(.seconds(20)))
      try await eventually("the third waits") { try await client.look { $0.queue.count } == 1 }
      await goOn.open()
      #expect(try await second == "second")
      #expect(try await third == "third")
      watch.cancel()
    }
  }

  /// A call that is cancelled before its headers left makes room for the next one, although nothing is written.
  @Test func cancelledInTheTurnItWasStarted() async throws {
    var manners = FrameServer.Manners()
    manners.streams = 1
    try await withServer(manners, answer: Self.answerUnary(Counter())) { client, _ in
      try await client.connect()
      let answered = Counter()
      let loop = client.channel.loop
      let channel = client.channel
      try await loop.submit {
        let first = try Self.request(channel)
        channel.submit(first)
        first.finish(.cancelled, reset: true)
        channel.submit(try Self.request(channel, ends: [{ answered.add($0.code == .ok ? 1 : 0) }]))
      }.get()
      try await eventually("the second call is answered") { answered.value == 1 }
    }
  }

  /// What nghttp2 would not send is not handed to it: 12 bytes are counted for each field.
  @Test(arguments: [(2_600, 16), (1, 60_100), (5_100, 2)])
  func moreMetadataThanCanBeSent(fields: Int, bytes: Int) async throws {
    let requests = Counter()
    try await withServer(answer: Self.answerUnary(requests)) { client, _ in
      var metadata: Metadata = [:]
      for _ in 0..<fields { metadata.add(String(repeating: "v", count: bytes - 1), for: "k") }
      let outcome = await status {
        try await client.unary(Echo.say, "a", CallOptions(deadline: .after(.seconds(20)), metadata: metadata))
      }
      #expect(outcome == Status(.resourceExhausted, "the request's metadata is over 60000 bytes"))
      #expect(requests.value == 0)
    }
  }
}
