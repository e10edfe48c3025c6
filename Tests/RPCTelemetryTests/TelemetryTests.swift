import InMemoryLogging
import InMemoryTracing
import Logging
import Metrics
import MetricsTestKit
import NIOCore
import RPC
import RPCTelemetry
import TestSupport
import Testing
import Tracing

/// Logs, metrics and traces of calls of every kind, at both sides of a socket.
@Suite(.timeLimit(.minutes(2)))
struct TelemetryTests {
  private struct Broken: Error, CustomStringConvertible { let description = "the disk is full" }

  private static let bytes = Codec<ByteBuffer>.bytes
  private static let say = Method("/test.Echo/Say", request: bytes, response: bytes)
  private static let expand = Method("/test.Echo/Expand", request: bytes, response: bytes)
  private static let collect = Method("/test.Echo/Collect", request: bytes, response: bytes)
  private static let chat = Method("/test.Echo/Chat", request: bytes, response: bytes)
  private static let missing = Method("/test.Echo/Missing", request: bytes, response: bytes)
  private static let check = Method("/grpc.health.v1.Health/Check", request: bytes, response: bytes)

  private static var router: Router {
    var router = Router()
    router.unary(check) { request, _ in request }
    router.unary(say) { request, _ in
      switch String(buffer: request) {
      case "broken": throw Broken()
      case "refused": throw Status(.notFound, "no such thing")
      case "overloaded": throw Status(.unavailable, "later")
      default: return request
      }
    }
    router.serverStreaming(expand) { request, responses, _ in
      for _ in 0..<3 { try await responses.write(request) }
      if request.readableBytes == 0 { throw Status(.dataLoss, "lost") }
    }
    router.clientStreaming(collect) { requests, _ in
      for try await _ in requests {}
      return ByteBuffer()
    }
    router.bidirectional(chat) { requests, responses, _ in
      for try await request in requests { try await responses.write(request) }
    }
    return router
  }

  private func withPair(
    server interceptor: any ServerInterceptor, client clientInterceptor: any ClientInterceptor,
    _ body: (Client) async throws -> Void
  ) async throws {
    let server = Server(router: Self.router, interceptors: [interceptor])
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port, interceptors: [clientInterceptor])
    try await body(client)
    await client.close()
    await server.shutdown(grace: .seconds(30))
  }

  /// One call of every kind, and one that is not there.
  private func callAll(_ client: Client) async throws {
    let text = ByteBuffer(string: "a")
    _ = try await client.unary(Self.say, text)
    for try await _ in try await client.serverStreaming(Self.expand, text) {}
    _ = try await client.clientStreaming(Self.collect) { try await $0.write(text) }
    try await client.bidirectional(Self.chat) { requests, responses in
      try await requests.write(text)
      requests.finish()
      for try await _ in responses {}
    }
    _ = try? await client.unary(Self.missing, text)
  }

  private func fail(_ client: Client) async {
    for text in ["broken", "refused", "overloaded"] {
      _ = try? await client.unary(Self.say, ByteBuffer(string: text))
    }
    do {
      for try await _ in try await client.serverStreaming(Self.expand, ByteBuffer()) {}
    } catch {}
  }

  // MARK: - Metrics

  @Test func callsAreMeasured() async throws {
    let (server, client) = (TestMetrics(), TestMetrics())
    try await withPair(
      server: CallMetrics(.server, methods: Self.router.methods, factory: server),
      client: CallMetrics(.client, factory: client)
    ) { (caller) async throws in
      try await callAll(caller)
      await fail(caller)
    }
    func counts(_ metrics: TestMetrics, _ label: String) -> [String: Int] {
      metrics.timers(label: label).reduce(into: [:]) { counts, timer in
        let labels = Dictionary(timer.dimensions) { first, _ in first }
        counts["\(labels["grpc.method"] ?? "") \(labels["grpc.status"] ?? "")"] = timer.values.count
      }
    }
    let both = [
      "test.Echo/Say OK": 1, "test.Echo/Say UNKNOWN": 1, "test.Echo/Say NOT_FOUND": 1,
      "test.Echo/Say UNAVAILABLE": 1,
      "test.Echo/Expand OK": 1, "test.Echo/Expand DATA_LOSS": 1, "test.Echo/Collect OK": 1, "test.Echo/Chat OK": 1,
    ]
    #expect(
      counts(server, "grpc.server.call.duration")
        == both.merging(["unknown/unknown UNIMPLEMENTED": 1]) { first, _ in first })
    #expect(
      counts(client, "grpc.client.call.duration")
        == both.merging(["test.Echo/Missing UNIMPLEMENTED": 1]) { first, _ in first })
  }

  @Test func methodsOverTheLimitShareOneSeries() async throws {
    let metrics = TestMetrics()
    let measure = CallMetrics(.client, factory: metrics)
    try await withPair(server: CallMetrics(.server, factory: TestMetrics()), client: measure) { (client) async throws in
      for number in 0..<CallMetrics.methodLimit + 5 {
        let method = Method("/test.Other/M\(number)", request: Self.bytes, response: Self.bytes)
        _ = try? await client.unary(method, ByteBuffer())
      }
    }
    let timers = metrics.timers(label: "grpc.client.call.duration")
    #expect(timers.count == CallMetrics.methodLimit + 1)
    #expect(timers.map(\.values.count).max() == 5)
  }

  // MARK: - Logs

  @Test func callsAreLogged() async throws {
    let (server, client) = (InMemoryLogHandler(), InMemoryLogHandler())
    func logger(_ handler: InMemoryLogHandler) -> Logger {
      var logger = Logger(label: "test") { _ in handler }
      logger.logLevel = .debug
      return logger
    }
    try await withPair(server: CallLogging(logger(server)), client: CallLogging(logger(client))) {
      (caller) async throws in
      _ = try await caller.unary(Self.check, ByteBuffer())  // is not worth a line
      try await callAll(caller)
      await fail(caller)
    }
    func lines(_ handler: InMemoryLogHandler) -> [String] {
      handler.entries.map { entry in
        let (path, code) = (entry.metadata["path"] ?? "", entry.metadata["code"] ?? "")
        return "\(entry.level) \(entry.message) \(path) \(code)"
      }
    }
    let ends = [
      "debug call /test.Echo/Say OK", "debug call /test.Echo/Expand OK", "debug call /test.Echo/Collect OK",
      "debug call /test.Echo/Chat OK",
    ]
    let failures = [
      "error call /test.Echo/Say UNKNOWN", "debug call /test.Echo/Say NOT_FOUND",
      "warning call /test.Echo/Say UNAVAILABLE", "error call /test.Echo/Expand DATA_LOSS",
    ]
    #expect(Set(lines(server)) == Set(ends + ["debug call refused  UNIMPLEMENTED"] + failures))
    #expect(lines(client) == ends + ["debug call /test.Echo/Missing UNIMPLEMENTED"] + failures)
    let errors = server.entries.compactMap { $0.metadata["error"] }
    #expect(errors.contains("the disk is full"))
    #expect(client.entries.allSatisfy { "\($0.metadata["peer"] ?? "")".hasPrefix("127.0.0.1:") })
  }

  @Test func whatIsBelowTheLevelIsNotLogged() async throws {
    let handler = InMemoryLogHandler()
    let logger = Logger(label: "test") { _ in handler }
    let logging = CallLogging(logger) { $0.code == .ok ? .trace : .notice }
    try await withPair(server: logging, client: logging) { (client) async throws in
      try await callAll(client)
    }
    #expect(handler.entries.map { $0.level } == [.notice, .notice])
  }

  /// Callers choose how many calls are refused, and must not fill a disk with them.
  @Test func aFloodOfRefusalsIsNotLogged() async throws {
    let handler = InMemoryLogHandler()
    let logging = CallLogging(Logger(label: "test") { _ in handler }, refusalsPerSecond: 0)
    for _ in 0..<10_000 { logging.refused(Status(.resourceExhausted, "the metadata is over the server's limit")) }
    // At most a line a second that counts them, however slow the machine is.
    #expect(handler.entries.allSatisfy { "\($0.message)" == "calls refused" && $0.metadata["more"] != nil })
    #expect(handler.entries.count < 1_000)
  }

  // MARK: - Traces

  @Test func callsAreTracedAcrossTheSocket() async throws {
    let (server, client) = (InMemoryTracer(), InMemoryTracer())
    try await withPair(server: CallTracing(server), client: CallTracing(client, peerService: "echo")) {
      (caller) async throws in
      _ = try await caller.unary(Self.check, ByteBuffer())
      try await callAll(caller)
      await fail(caller)
    }
    let (calls, served) = (client.finishedSpans, server.finishedSpans)
    #expect(calls.count == 9)
    #expect(served.count == 8)
    #expect(server.activeSpans.isEmpty && client.activeSpans.isEmpty)
    for span in served {
      // The server's span continues the client's.
      let caller = try #require(calls.first { $0.spanID == span.parentSpanID })
      #expect(caller.traceID == span.traceID)
      #expect(caller.operationName == span.operationName)
      #expect((caller.kind, span.kind) == (.client, .server))
      #expect(caller.attributes.get("rpc.grpc.status_code") == span.attributes.get("rpc.grpc.status_code"))
    }
    let broken = try #require(served.first { $0.attributes.get("rpc.grpc.status_code") == .int64(2) })
    #expect(broken.operationName == "test.Echo/Say")
    #expect(broken.errors.count == 1)
    #expect(broken.status?.code == .error)
    let refused = served.filter { $0.attributes.get("rpc.grpc.status_code") == .int64(5) }
    #expect(refused.map { $0.status?.code } == [nil])
    #expect(calls.allSatisfy { $0.attributes.get("peer.service") == .string("echo") })
  }
}
