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

  // MARK: - Streams that never leave

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
