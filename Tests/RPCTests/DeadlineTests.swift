import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct DeadlineTests {
  @Test func timeoutsOnTheWire() {
    for (nanoseconds, text) in [
      (0, "0n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_001, "100001u"),
      (5_000_000_000, "5000000u"), (100_000_000_000, "100000m"), (3_600_000_000_000_000, "3600000S"),
      (Int64.max, "2562048H"), (-5, "0n"),
    ] as [(Int64, String)] {
      #expect(Timeout.format(nanoseconds: nanoseconds) == text)
    }
    for (text, nanoseconds) in [
      ("1n", 1), ("1u", 1_000), ("1m", 1_000_000), ("1S", 1_000_000_000), ("2M", 120_000_000_000),
      ("1H", 3_600_000_000_000), ("00000001S", 1_000_000_000), ("99999999H", Int64.max),
    ] as [(String, Int64)] {
      #expect(Timeout.parse(text.utf8) == nanoseconds)
    }
    for bad in ["", "1", "S", "123456789S", "-1S", "1s", "1.5S", " 1S", "1S ", "+1S"] {
      #expect(Timeout.parse(bad.utf8) == nil)
    }
  }

  @Test func arithmetic() {
    #expect(Deadline.after(.seconds(-1)).isExpired)
    #expect(!Deadline.after(.seconds(60)).isExpired)
    #expect(!Deadline.never.isExpired)
    #expect(Deadline.after(.seconds(1)) < Deadline.after(.seconds(2)))
    #expect(Deadline.after(.seconds(Int64.max)) == .never)
    #expect(Deadline.after(.seconds(60)).remaining > .seconds(50))
    #expect(Deadline.after(.zero).remaining == .zero)
  }

  /// A handler that waits until it is cancelled, and says so.
  static func waiting(_ started: Gate, _ cancelled: Gate) -> Router {
    var router = Router()
    router.unary(Echo.blob) { request, _ in request }
    router.unary(Echo.say) { request, _ in
      await started.open()
      do {
        try await Task.sleep(for: .seconds(600))
      } catch {
        await cancelled.open()
        throw error
      }
      return request
    }
    return router
  }

  @Test func theClientGivesUpAndTheHandlerIsCancelled() async throws {
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(Self.waiting(started, cancelled)) { (client, _) async throws in
      _ = try await client.unary(Echo.blob, ByteBuffer())  // so that the call is sent before its deadline
      let status = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(500))) }
      #expect(status?.code == .deadlineExceeded)
      await cancelled.wait()
    }
  }

  @Test func theServerEndsACallWhoseCallerDoesNot() async throws {
    let (started, cancelled) = (Gate(), Gate())
    let server = Server(router: Self.waiting(started, cancelled))
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-timeout": "50m"])
    let trailers = try await peer.trailers(stream)
    #expect(trailers["grpc-status"] == "4")
    await cancelled.wait()
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test(arguments: [
    ("99999999n", 0), ("99999999u", 99), ("90000m", 90), ("90S", 90), ("90M", 5_400), ("90H", 324_000),
    ("99999999S", 99_999_999), ("99999999H", Int.max),
  ])
  func everyUnitOnTheWire(timeout: String, seconds: Int) async throws {
    var router = Router()
    router.unary(Echo.say) { _, context in
      guard let deadline = context.deadline else { throw Status(.internalError, "no deadline") }
      return deadline == .never ? "\(Int.max)" : "\(deadline.remaining.components.seconds)"
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-timeout": timeout])
    let code = try await peer.trailers(stream)["grpc-status"]
    if seconds != 0 {
      #expect(code == "0")
      let left = try #require(Int(try peer.body(stream)))
      #expect(left <= seconds && left > seconds - 60)
    } else {
      #expect(code == "0" || code == "4")  // answered in the turn that it came in, or too late
    }
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test(arguments: ["0n", "0H", "00000000S", "1n"], [Echo.say.path, Echo.chat.path])
  func aTimeoutThatIsOverRunsNoHandler(timeout: String, path: String) async throws {
    let began = NIOLockedValueBox(0)
    var router = Router()
    router.unary(Echo.say) { request, _ in
      began.withLockedValue { $0 += 1 }
      return request
    }
    router.bidirectional(Echo.chat) { _, _, _ in began.withLockedValue { $0 += 1 } }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: path, body: peer.frame("a"), extra: ["grpc-timeout": timeout])
    #expect(try await peer.trailers(stream)["grpc-status"] == "4")
    #expect(began.withLockedValue { $0 } == 0)
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test func anExpiredDeadlineIsNotEvenSent() async throws {
    try await withPair { (client, _) async throws in
      let status = await status { try await client.unary(Echo.say, "a", .timeout(.zero)) }
      #expect(status?.code == .deadlineExceeded)
      #expect(try await client.unary(Echo.say, "a", .timeout(.seconds(60))) == "a")
    }
  }

  @Test func aStreamsDeadline() async throws {
    var router = Router()
    router.serverStreaming(Echo.expand) { _, responses, _ in
      try await responses.write("first")
      try await Task.sleep(for: .seconds(600))
    }
    try await withPair(router) { (client, _) async throws in
      var received: [String] = []
      let status = await status {
        let responses = try await client.serverStreaming(Echo.expand, "", .timeout(.milliseconds(200)))
        for try await message in responses { received.append(message) }
      }
      #expect(status?.code == .deadlineExceeded)
    }
  }

  @Test func passesOnThroughASecondHop() async throws {
    var far = Router()
    far.unary(Echo.say) { _, context in
      guard let deadline = context.deadline else { return "none" }
      return deadline.remaining > .seconds(100) ? "own" : "passed on"
    }
    try await withPair(far) { (farClient, _) async throws in
      var near = Router()
      near.unary(Echo.say) { request, context in
        #expect(Deadline.current == context.deadline)
        return try await farClient.unary(Echo.say, request, request == "later" ? .timeout(.seconds(500)) : .init())
      }
      try await withPair(near) { (client, _) async throws in
        #expect(try await client.unary(Echo.say, "none") == "none")
        #expect(try await client.unary(Echo.say, "a", .timeout(.seconds(60))) == "passed on")
        #expect(try await client.unary(Echo.say, "later", .timeout(.seconds(60))) == "passed on")
        #expect(try await client.unary(Echo.say, "later") == "own")
      }
    }
  }

  /// The far handler is cancelled because the near call's deadline passed, not by a deadline of its own.
  @Test func aDeadlineEndsTheWholeChain() async throws {
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(Self.waiting(started, cancelled)) { (farClient, _) async throws in
      var near = Router()
      near.unary(Echo.say) { request, _ in try await farClient.unary(Echo.say, request) }
      near.unary(Echo.blob) { request, _ in try await farClient.unary(Echo.blob, request) }
      try await withPair(near) { (client, _) async throws in
        _ = try await client.unary(Echo.blob, ByteBuffer())
        let status = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(500))) }
        #expect(status?.code == .deadlineExceeded)
        await cancelled.wait()
      }
    }
  }
}
