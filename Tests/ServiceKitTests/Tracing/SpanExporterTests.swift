import Logging
import Messages
import RPC
import Stubs
import Synchronization
import TestSupport
import Testing
import Tracing

@testable import ServiceKit

/// A collector, served by our own server.
private final class TestCollector: OpentelemetryProtoCollectorTraceV1TraceServiceHandler {
  typealias Request = OpentelemetryProtoCollectorTraceV1ExportTraceServiceRequest
  typealias Response = OpentelemetryProtoCollectorTraceV1ExportTraceServiceResponse

  private let calls = Mutex<[[String]]>([])
  private let traced = Mutex(false)
  /// Gets the number of the call, from 1 on.
  private let answer: @Sendable (Int) async throws -> Response

  init(_ answer: @escaping @Sendable (Int) async throws -> Response = { _ in .init() }) {
    self.answer = answer
  }

  func export(_ request: Request, _ context: ServerContext) async throws -> Response {
    let names = request.resourceSpans.flatMap(\.scopeSpans).flatMap(\.spans).map(\.name)
    if context.metadata["traceparent"] != nil { traced.withLock { $0 = true } }
    let number = calls.withLock { calls in
      calls.append(names)
      return calls.count
    }
    return try await answer(number)
  }

  /// The names of the spans of each call.
  var batches: [[String]] { calls.withLock { $0 } }
  var wasTraced: Bool { traced.withLock { $0 } }
}

@Suite(.timeLimit(.minutes(2))) struct SpanExporterTests {
  /// Runs an exporter against a collector.
  private func withExporter(
    _ collector: TestCollector, _ options: SpanExporter.Options = Self.quick,
    _ body: (SpanExporter, ServiceTracer, Lines) async throws -> Void
  ) async throws {
    var router = Router()
    router.register(collector)
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let lines = Lines()
    let exporter = SpanExporter(
      PeerAddress(host: "127.0.0.1", port: address.port), resource: [("service.name", "test")], options: options,
      logger: Logger(label: "test") { LineLogHandler(label: $0, format: .text, level: .info) { lines.add($0) } })
    exporter.start()
    try await body(exporter, ServiceTracer(queue: exporter.queue, ratio: 1), lines)
    await exporter.shutdown(within: .zero)
    await server.shutdown(grace: .zero)
  }

  private static let quick: SpanExporter.Options = {
    var options = SpanExporter.Options()
    options.interval = .milliseconds(10)
    options.minimumPause = .milliseconds(1)
    options.maximumPause = .milliseconds(10)
    return options
  }()

  private func spans(_ names: some Sequence<Int>, _ tracer: ServiceTracer) {
    for name in names { tracer.startSpan("\(name)").end() }
  }

  @Test func aFullBatchGoesAtOnce() async throws {
    let collector = TestCollector()
    var options = Self.quick
    options.batch = 10
    options.interval = .seconds(3600)
    try await withExporter(collector, options) { exporter, tracer, _ in
      spans(0..<10, tracer)
      try await eventually("a batch comes") { collector.batches == [(0..<10).map(String.init)] }
      spans(10..<15, tracer)
      await exporter.shutdown(within: .seconds(30))
      #expect(collector.batches.last == (10..<15).map(String.init))
      #expect(exporter.queue.dropped == 0)
      #expect(!collector.wasTraced)
    }
  }

  @Test func aFewGoAfterAWhile() async throws {
    let collector = TestCollector()
    try await withExporter(collector) { exporter, tracer, _ in
      for round in 0..<3 {
        spans(0..<3, tracer)
        try await eventually("round \(round) comes") { collector.batches.joined().count == 3 * (round + 1) }
      }
    }
  }

  @Test func whatIsUnavailableIsTriedAgain() async throws {
    let collector = TestCollector { number in
      if number < 4 { throw Status(.unavailable, "not yet") }
      return .init()
    }
    try await withExporter(collector) { exporter, tracer, lines in
      spans(0..<3, tracer)
      try await eventually("it is taken in the end") { collector.batches.count == 4 }
      #expect(Set(collector.batches) == [["0", "1", "2"]])
      #expect(exporter.queue.dropped == 0)
      #expect(!lines.text.contains("dropped"))
    }
  }

  @Test func whatIsRefusedIsDroppedAndCounted() async throws {
    let collector = TestCollector { _ in throw Status(.invalidArgument, "no such thing") }
    try await withExporter(collector) { exporter, tracer, lines in
      spans(0..<3, tracer)
      try await eventually("they are dropped") { exporter.queue.dropped == 3 }
      #expect(collector.batches.count == 1)
      try await eventually("it is logged") { lines.text.contains("INVALID_ARGUMENT: no such thing") }
    }
  }

  @Test func whatIsTooLargeIsCutInTwo() async throws {
    let collector = TestCollector { number in
      if number == 1 { throw Status(.resourceExhausted, "too large") }
      return .init()
    }
    try await withExporter(collector) { exporter, tracer, _ in
      spans(0..<4, tracer)
      try await eventually("both halves come") { collector.batches.dropFirst() == [["0", "1"], ["2", "3"]] }
      #expect(exporter.queue.dropped == 0)
    }
  }

  @Test func aPartialSuccessIsCountedAndLogged() async throws {
    let collector = TestCollector { _ in
      .init(partialSuccess: .init(rejectedSpans: 2, errorMessage: "two are too old"))
    }
    try await withExporter(collector) { exporter, tracer, lines in
      spans(0..<3, tracer)
      try await eventually("it is logged") { lines.text.contains("two are too old") }
      #expect(exporter.queue.dropped == 2)
      #expect(collector.batches.count == 1)
    }
  }

  @Test func patienceEnds() async throws {
    var options = Self.quick
    options.patience = .milliseconds(50)
    let collector = TestCollector { _ in throw Status(.unavailable, "never") }
    try await withExporter(collector, options) { exporter, tracer, lines in
      spans(0..<3, tracer)
      try await eventually("they are dropped") { exporter.queue.dropped == 3 }
      try await eventually("it is logged") { lines.text.contains("UNAVAILABLE: never") }
    }
  }

  /// A collector that answers nothing: whoever ends a span does not wait, and neither does the end of the process.
  @Test func aStalledCollectorHoldsNobodyUp() async throws {
    let collector = TestCollector { _ in
      try await Task.sleep(for: .seconds(3600))
      return .init()
    }
    try await withExporter(collector) { exporter, tracer, _ in
      spans(0..<3, tracer)
      try await eventually("a call is under way") { collector.batches.count == 1 }
      spans(0..<(2 * SpanQueue.defaultLimit), tracer)
      #expect(exporter.queue.dropped == SpanQueue.defaultLimit)
      await exporter.shutdown(within: .milliseconds(10))
      #expect(exporter.queue.dropped == 2 * SpanQueue.defaultLimit + 3)
    }
  }

  @Test func spansOnTheWire() throws {
    let test = TestTracer()
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let span = test.tracer.startSpan("a\0b", context: .continuing(parent), ofKind: .consumer)
    span.attributes["text"] = String(repeating: "é", count: ServiceSpan.maximumText)
    span.attributes["number"] = 5
    span.attributes["flag"] = true
    span.attributes["half"] = 0.5
    span.attributes["list"] = ["a", "b"]
    span.setStatus(SpanStatus(code: .error, message: "bad"))
    span.end()
    let request = OTLP.request(test.finished, resource: [("service.name", "test")])
    let group = try #require(request.resourceSpans.first)
    #expect(group.resource?.attributes == [.init(key: "service.name", value: .init(value: .stringValue("test")))])
    let sent = try #require(group.scopeSpans.first?.spans.first)
    #expect(sent.traceId.hexadecimal == "4bf92f3577b34da6a3ce929d0e0e4736")
    #expect(sent.parentSpanId.hexadecimal == "00f067aa0ba902b7")
    #expect(sent.spanId.hexadecimal == "\(span.trace.spanID)")
    #expect(sent.name == "a\u{FFFD}b")
    #expect(sent.kind == .consumer)
    #expect(sent.flags == 1)
    #expect(sent.status == .init(message: "bad", code: .error))
    #expect(sent.startTimeUnixNano <= sent.endTimeUnixNano && sent.startTimeUnixNano > 1_600_000_000_000_000_000)
    let values = Dictionary(uniqueKeysWithValues: sent.attributes.map { ($0.key, $0.value?.value) })
    #expect(values["number"] == .intValue(5))
    #expect(values["flag"] == .boolValue(true))
    #expect(values["half"] == .doubleValue(0.5))
    #expect(values["list"] == .stringValue("a,b"))
    guard case .stringValue(let text)?? = values["text"] else { throw NeverHappened(description: "no text") }
    #expect(text.utf8.count <= ServiceSpan.maximumText && text.hasSuffix("é…"))
  }
}
