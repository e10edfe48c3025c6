import HTTP2
import NIOConcurrencyHelpers
import RPC
import TestSupport
import Testing

/// What interceptors at both sides get to see of each call.
@Suite(.timeLimit(.minutes(2)))
struct InterceptorTests {
  /// Lines, in order, from any thread.
  final class Record: Sendable {
    private let lines = NIOLockedValueBox<[String]>([])
    var all: [String] { lines.withLockedValue { $0 } }
    func add(_ line: String) { lines.withLockedValue { $0.append(line) } }

    func becomes(_ expected: [String]) async throws {
      try await eventually("\(expected), not \(all)") { all == expected }
    }
  }

  struct Caller: ClientInterceptor {
    let name: String
    let record: Record

    func begin(_ call: inout OutgoingCall) -> CallEnd? {
      call.options.metadata.add(name, for: "x-through")
      record.add("\(name) begins \(call.path)")
      return { [name, record] in record.add("\(name): \($0.code.name)") }
    }
  }

  struct Door: ServerInterceptor {
    let record: Record

    func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
      do {
        try await next()
        record.add("OK")
      } catch {
        record.add(Status(reporting: error).code.name)
        throw error
      }
    }
  }

  /// Calls through one interceptor at each side; what each saw of the ends.
  private func outcomes(
    _ router: Router = Echo.router, client: [String], server: [String], _ body: (Client) async throws -> Void
  ) async throws {
    let (calls, handlers) = (Record(), Record())
    try await withPair(
      router, interceptors: [Door(record: handlers)], clientInterceptors: [Caller(name: "c", record: calls)]
    ) { (peer, _) async throws in
      try await body(peer)
      try await eventually("the client saw \(client), not \(calls.all)") {
        calls.all.filter { !$0.contains("begins") } == client.map { "c: \($0)" }
      }
      try await handlers.becomes(server)
    }
  }

  @Test func theFirstIsOutermost() async throws {
    let record = Record()
    var router = Echo.router
    router.unary(Echo.say) { _, context in context.metadata.all("x-through").joined(separator: " ") }
    let callers = ["a", "b"].map { Caller(name: $0, record: record) }
    try await withPair(router, clientInterceptors: callers) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "", CallOptions(metadata: ["x-through": "caller"])) == "caller a b")
      try await record.becomes(["a begins /test.Echo/Say", "b begins /test.Echo/Say", "b: OK", "a: OK"])
    }
  }

  @Test func everyKindOfCallEndsOnce() async throws {
    try await outcomes(
      client: [String](repeating: "OK", count: 5), server: [String](repeating: "OK", count: 5)
    ) { client in
      _ = try await client.unary(Echo.say, "a")
      for try await _ in try await client.serverStreaming(Echo.expand, "3") {}
      _ = try await client.clientStreaming(Echo.collect) { try await $0.write("b") }
      for try await _ in try await client.bidirectional(
        Echo.chat, .init(), { (requests: RequestWriter<String>) in try await requests.write("c") }) {}
      _ = try await client.bidirectional(Echo.chat) { requests, responses in
        requests.finish()
        for try await _ in responses {}
      }
    }
  }

  @Test func aRefusalIsSeenAtBothSides() async throws {
    var router = Echo.router
    router.unary(Echo.say) { _, _ in throw Status(.notFound, "no") }
    router.serverStreaming(Echo.expand) { _, responses, _ in
      try await responses.write("one")
      throw Status(.dataLoss, "lost")
    }
    try await outcomes(router, client: ["NOT_FOUND", "DATA_LOSS"], server: ["NOT_FOUND", "DATA_LOSS"]) { client in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .notFound)
      let streamed = await status { for try await _ in try await client.serverStreaming(Echo.expand, "") {} }
      #expect(streamed?.code == .dataLoss)
    }
  }

  @Test func aCancelledCall() async throws {
    let (started, cancelled) = (Gate(), Gate())
    let router = DeadlineTests.waiting(started, cancelled)
    try await outcomes(router, client: ["CANCELLED"], server: ["CANCELLED"]) { client in
      let task = Task { await status { try await client.unary(Echo.say, "a") } }
      await started.wait()
      task.cancel()
      _ = await task.value
    }
  }

  @Test func aStreamThatIsLeftOrDropped() async throws {
    let (started, stopped) = (Gate(), Gate())
    let router = CancellationTests.endless(started, stopped)
    try await outcomes(router, client: ["CANCELLED"], server: ["CANCELLED"]) { client in
      for try await _ in try await client.serverStreaming(Echo.expand, "") { break }
      await stopped.wait()
    }
    let again = (Gate(), Gate())
    try await outcomes(CancellationTests.endless(again.0, again.1), client: ["CANCELLED"], server: ["CANCELLED"]) {
      client in
      do {
        let responses = try await client.serverStreaming(Echo.expand, "")
        await again.0.wait()
        withExtendedLifetime(responses) {}
      }
      await again.1.wait()
    }
  }

  @Test func aConversationThatIsLeft() async throws {
    try await outcomes(client: ["CANCELLED"], server: ["CANCELLED"]) { client in
      _ = try await client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("one")
        for try await message in responses { return message }
        return ""
      }
    }
  }

  /// The handler ends well, long after its caller was told otherwise.
  @Test func aDeadlineIsSeenWhateverTheHandlerDoes() async throws {
    let (record, release) = (Record(), Gate())
    var router = Router()
    router.unary(Echo.say) { request, _ in
      await release.wait()
      return request
    }
    let server = Server(router: router, interceptors: [Door(record: record)])
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-timeout": "50m"])
    #expect(try await peer.trailers(stream)["grpc-status"] == "4")
    #expect(record.all.isEmpty)
    await release.open()
    try await record.becomes(["DEADLINE_EXCEEDED"])
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  /// Holds a call on its way in or out.
  private struct Hold: ServerInterceptor {
    let release: Gate
    let afterwards: Bool

    func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
      if afterwards { try await next() }
      await release.wait()
      if !afterwards { throw Status(.permissionDenied, "too late") }
    }
  }

  /// A call that ends while another interceptor holds it: whoever stands outside of that sees what the caller got.
  @Test(arguments: [false, true])
  func aDeadlineThatPassesInsideAnInterceptor(afterwards: Bool) async throws {
    let (record, release) = (Record(), Gate())
    let server = Server(
      router: Echo.router,
      interceptors: [Door(record: record), Door(record: record), Hold(release: release, afterwards: afterwards)])
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-timeout": "50m"])
    #expect(try await peer.trailers(stream)["grpc-status"] == "4")
    #expect(record.all.isEmpty)
    await release.open()
    try await record.becomes(["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"])
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test func aDeadlineThatPassesInTheQueueOfALimit() async throws {
    let (record, release) = (Record(), Gate())
    let limit = ConcurrencyLimit(maximum: 1, queue: 1)
    var router = Router()
    router.unary(Echo.say) { request, _ in
      await release.wait()
      return request
    }
    let server = Server(router: router, interceptors: [Door(record: record), limit])
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let first = try peer.request(path: Echo.say.path, body: peer.frame("a"))
    try await eventually("the first runs") { limit.load == (1, 0) }
    let second = try peer.request(path: Echo.say.path, body: peer.frame("b"), extra: ["grpc-timeout": "50m"])
    #expect(try await peer.trailers(second)["grpc-status"] == "4")
    try await record.becomes(["DEADLINE_EXCEEDED"])
    await release.open()
    #expect(try await peer.trailers(first)["grpc-status"] == "0")
    try await record.becomes(["DEADLINE_EXCEEDED", "OK"])
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test func aCallersOwnDeadline() async throws {
    let (record, started, cancelled) = (Record(), Gate(), Gate())
    let callers = [Caller(name: "c", record: record)]
    let router = DeadlineTests.waiting(started, cancelled)
    try await withPair(router, clientInterceptors: callers) { (client, _) async throws in
      let late = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(200))) }
      #expect(late?.code == .deadlineExceeded)
      try await record.becomes(["c begins /test.Echo/Say", "c: DEADLINE_EXCEEDED"])
    }
  }

  @Test func aServerThatIsNotThere() async throws {
    let record = Record()
    // Not a free port: another test's server could take that meanwhile.
    let client = Client(host: "127.0.0.1", port: 1, interceptors: [Caller(name: "c", record: record)])
    #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
    let stream = try await client.serverStreaming(Echo.expand, "1")
    #expect(await status { for try await _ in stream {} }?.code == .unavailable)
    let begins = ["/test.Echo/Say", "/test.Echo/Expand"].map { "c begins \($0)" }
    try await record.becomes([begins[0], "c: UNAVAILABLE", begins[1], "c: UNAVAILABLE"])
    await client.close()
  }
}
