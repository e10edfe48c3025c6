import Messages
import RPC
import RPCTelemetry
import ServiceTestSupport
import StandardServices
import Stubs
import TestSupport
import Testing
import Tracing

@testable import ServiceKit

/// Spans of calls, at both sides.
@Suite(.timeLimit(.minutes(2))) struct CallTracingTests {
  private struct Echo: EchoHandler {
    func say(_ request: EchoMessage, _ context: ServerContext) async throws -> EchoMessage {
      switch request.text {
      case "": throw Status(.invalidArgument, "nothing to say")
      case "broken": throw TracerTests.Broken()
      case "context": return EchoMessage(text: TraceContext.currentText)
      case "state": return EchoMessage(text: context.metadata["tracestate"] ?? "none")
      default: return request
      }
    }

    func expand(
      _ request: ExpandRequest, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
    ) async throws {
      while true { try await responses.write(EchoMessage(text: request.text)) }
    }

    func collect(_ requests: RequestStream<EchoMessage>, _ context: ServerContext) async throws -> EchoMessage {
      for try await _ in requests {}
      return EchoMessage(text: TraceContext.currentText)
    }

    func chat(
      _ requests: RequestStream<EchoMessage>, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
    ) async throws {
      for try await request in requests { try await responses.write(request) }
    }
  }

  private let client = TestTracer()
  private let server = TestTracer()

  /// The one span of each side, once both have ended.
  private func spans() async throws -> (client: FinishedSpan, server: FinishedSpan) {
    try await eventually("both spans end") { client.queue.count == 1 && server.queue.count == 1 }
    return (try #require(client.finished.first), try #require(server.finished.first))
  }

  private func withEcho(_ body: (EchoClient, Client) async throws -> Void) async throws {
    var router = Router()
    router.register(Echo())
    router.register(Health(services: []))
    let listening = Server(router: router, interceptors: [CallTracing(server.tracer)])
    let address = try await listening.start(host: "127.0.0.1", port: 0)
    let caller = Client(
      host: address.host, port: address.port, interceptors: [CallTracing(client.tracer, peerService: "echo")])
    try await body(EchoClient(caller), caller)
    await caller.close()
    await listening.shutdown(grace: .zero)
  }

  @Test func bothSidesOfACall() async throws {
    try await withEcho { echo, _ in
      let answer = try await client.tracer.withSpan("caller") { _ in try await echo.say(.init(text: "context")) }
      try await eventually("all spans end") { client.queue.count == 2 && server.queue.count == 1 }
      let (call, caller) = { ($0[0], $0[1]) }(client.finished)
      let served = try #require(server.finished.first)
      #expect(call.parent == caller.trace.spanID)
      #expect(served.parent == call.trace.spanID)
      #expect(served.trace.traceID == caller.trace.traceID)
      #expect(answer.text == served.trace.traceparent)
      #expect((call.kind, served.kind) == (.client, .server))
      #expect(call.attributes.get("peer.service") == "echo")
      for span in [call, served] {
        #expect(span.name == "buddy.testing.v1.Echo/Say")
        #expect(span.attributes.get("rpc.system") == "grpc")
        #expect(span.attributes.get("rpc.service") == "buddy.testing.v1.Echo")
        #expect(span.attributes.get("rpc.method") == "Say")
        #expect(span.attributes.get("rpc.grpc.status_code") == 0)
        #expect(span.status == nil)
      }
    }
  }

  @Test func aRefusalIsTheCallersError() async throws {
    try await withEcho { echo, _ in
      _ = await #expect(throws: Status.self) { try await echo.say(.init()) }
      let spans = try await spans()
      #expect(spans.client.attributes.get("rpc.grpc.status_code") == 3)
      #expect(spans.client.status?.code == .error)
      #expect(spans.server.attributes.get("rpc.grpc.status_code") == 3)
      #expect(spans.server.status == nil)
    }
  }

  @Test func aFailureIsTheServersToo() async throws {
    try await withEcho { echo, _ in
      _ = await #expect(throws: Status.self) { try await echo.say(.init(text: "broken")) }
      let spans = try await spans()
      #expect(spans.server.status?.code == .error)
      #expect(spans.server.events.first?.attributes.get("exception.type") == "Broken")
      // What a caller is not told is not in its span either.
      #expect(spans.client.events.isEmpty)
    }
  }

  @Test func aStreamThatIsLeftEnds() async throws {
    try await withEcho { echo, _ in
      for try await _ in try await echo.expand(.init(text: "a")) { break }
      let spans = try await spans()
      #expect(spans.client.attributes.get("rpc.grpc.status_code") == 1)
      #expect(spans.server.attributes.get("rpc.grpc.status_code") == 1)
      #expect(spans.server.parent == spans.client.trace.spanID)
    }
  }

  @Test func requestStreamsAndConversations() async throws {
    try await withEcho { echo, _ in
      let answer = try await echo.collect { try await $0.write(.init(text: "a")) }
      let collected = try await spans()
      #expect(answer.text == collected.server.trace.traceparent)
      try await echo.chat { requests, responses in
        requests.finish()
        for try await _ in responses {}
      }
      #expect(try await spans().client.attributes.get("rpc.grpc.status_code") == 0)
    }
  }

  @Test func probesAreNotTraced() async throws {
    try await withEcho { echo, caller in
      _ = try await GrpcHealthV1HealthClient(caller).check(.init())
      _ = try await echo.say(.init(text: "a"))
      let spans = try await spans()
      #expect(spans.client.name == "buddy.testing.v1.Echo/Say")
    }
  }

  @Test func anotherVendorsStatePassesThrough() async throws {
    try await withEcho { echo, _ in
      var context = ServiceContext.topLevel
      context.trace = TraceContext(
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", tracestate: "congo=t61rcWkgMzE")
      let answer = try await ServiceContext.withValue(context) { try await echo.say(.init(text: "state")) }
      #expect(answer.text == "congo=t61rcWkgMzE")
      #expect(try await spans().server.trace.state.text == "congo=t61rcWkgMzE")
    }
  }

  /// Of two headers none can be believed.
  @Test func twoTraceparentsAreNone() async throws {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    var router = Router()
    router.register(Echo())
    let listening = Server(router: router, interceptors: [CallTracing(server.tracer)])
    let address = try await listening.start(host: "127.0.0.1", port: 0)
    let caller = Client(host: address.host, port: address.port)
    for (metadata, isTaken) in [
      (["traceparent": parent], true), (["traceparent": parent, "Traceparent": parent], false),
    ] as [(Metadata, Bool)] {
      let answer = try await EchoClient(caller).say(.init(text: "context"), CallOptions(metadata: metadata))
      #expect(answer.text.contains("4bf92f3577b34da6a3ce929d0e0e4736") == isTaken)
    }
    await caller.close()
    await listening.shutdown(grace: .zero)
  }
}
