import Foundation
import Logging
import Messages
import TestSupport
import Testing
import Tracing

@testable import ServiceKit

/// A tracer with a queue to look into.
struct TestTracer {
  let queue: SpanQueue
  let tracer: ServiceTracer

  init(ratio: Double = 1, limit: Int = 1_000) {
    queue = SpanQueue(limit: limit, batch: 1_000)
    tracer = ServiceTracer(queue: queue, ratio: ratio)
  }

  /// Takes out what has finished, in order.
  var finished: [FinishedSpan] { queue.take() }
}

@Suite struct TracerTests {
  private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"

  struct Broken: Error {}

  @Test func childrenBelongToTheirParentsTrace() {
    let test = TestTracer()
    test.tracer.withSpan("outer") { outer in
      #expect(ServiceSpan.current === outer)
      test.tracer.withSpan("inner", ofKind: .client) { inner in
        #expect(inner.trace.traceID == outer.trace.traceID)
        #expect(inner.trace.spanID != outer.trace.spanID)
        #expect(TraceContext.current == inner.trace)
        #expect(test.tracer.activeSpan(identifiedBy: inner.context) === inner)
      }
    }
    let spans = test.finished
    #expect(spans.map(\.name) == ["inner", "outer"])
    #expect(spans[0].parent == spans[1].trace.spanID)
    #expect(spans[1].parent == nil)
    #expect(spans[0].kind == .client)
    #expect(spans[1].start <= spans[0].start && spans[0].end <= spans[1].end)
  }

  @Test func idsAreNeverRepeatedNorZero() {
    let tracer = ServiceTracer()
    let spans = (0..<10_000).map { _ in tracer.startSpan("x").trace }
    #expect(Set(spans.map(\.traceID)).count == spans.count)
    #expect(Set(spans.map(\.spanID)).count == spans.count)
    #expect(spans.allSatisfy { TraceContext(traceparent: $0.traceparent) == $0 })
  }

  @Test func withoutAnExporterNothingIsRecordedButIdsPassOn() {
    let tracer = ServiceTracer()
    let root = tracer.startSpan("root")
    #expect(!root.isRecording)
    #expect(!root.trace.isSampled)
    root.attributes["x"] = 1
    #expect(root.attributes.isEmpty)
    let asked = tracer.startSpan("asked", context: .continuing(Self.parent + "01"))
    #expect(asked.trace.isSampled && !asked.isRecording)
    #expect(asked.trace.traceparent.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-"))
  }

  @Test func aCallersDecisionCounts() {
    let all = TestTracer(ratio: 1)
    all.tracer.startSpan("no", context: .continuing(Self.parent + "00")).end()
    #expect(all.finished.isEmpty)
    let none = TestTracer(ratio: 0)
    none.tracer.startSpan("no").end()
    none.tracer.startSpan("yes", context: .continuing(Self.parent + "01")).end()
    #expect(none.finished.map(\.name) == ["yes"])
  }

  @Test func theRatioIsKeptAndDecidedByTheTrace() {
    let test = TestTracer(ratio: 0.25)
    let count = 40_000
    let sampled = (0..<count).filter { _ in test.tracer.startSpan("x").trace.isSampled }.count
    // Ten standard deviations.
    #expect(abs(sampled - count / 4) < 870)
    let id = TraceID(high: 0, low: UInt64.max / 8)
    let context = TraceContext(traceID: id, spanID: .random(), isSampled: false)
    #expect(context.traceID.low < UInt64(0.25 * 0x1p64))
  }

  @Test func whatASpanSays() throws {
    let test = TestTracer()
    let linked = test.tracer.startSpan("linked")
    #expect(throws: Broken.self) {
      try test.tracer.withSpan("work", ofKind: .consumer) { span in
        span.operationName = "renamed"
        span.attributes["text"] = "a"
        span.updateAttributes { $0["number"] = 5 }
        span.addEvent("something")
        span.addLink(SpanLink(context: linked.context, attributes: [:]))
        throw Broken()
      }
    }
    let span = try #require(test.finished.first)
    #expect(span.name == "renamed")
    #expect(span.attributes.get("text") == "a")
    #expect(span.attributes.get("number") == 5)
    #expect(span.events.map(\.name) == ["something", "exception"])
    #expect(span.events.last?.attributes.get("exception.type") == "Broken")
    #expect(span.links == [linked.trace])
    #expect(span.status?.code == .error)
  }

  @Test func aSpanEndsOnce() {
    let test = TestTracer()
    let span = test.tracer.startSpan("once", at: DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: 100))
    span.end(at: DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: 50))
    span.end()
    span.attributes["late"] = 1
    #expect(!span.isRecording)
    let spans = test.finished
    #expect(spans.count == 1)
    // A clock that went back makes no span of negative length.
    #expect(spans.first?.start == 100 && spans.first?.end == 100)
    #expect(spans.first?.attributes.isEmpty == true)
  }

  @Test func aSpanThatIsDroppedEnds() {
    let test = TestTracer()
    do { _ = test.tracer.startSpan("dropped") }
    #expect(test.finished.map(\.name) == ["dropped"])
  }

  @Test func theQueueIsBoundedAndCountsWhatItDrops() {
    let test = TestTracer(limit: 10)
    for number in 0..<25 { test.tracer.startSpan("\(number)").end() }
    #expect(test.queue.dropped == 15)
    #expect(test.finished.map(\.name) == (0..<10).map(String.init))
    test.queue.close()
    test.tracer.startSpan("late").end()
    #expect(test.queue.dropped == 16)
  }

  @Test func aDeliveryGoesOnInItsTrace() throws {
    let test = TestTracer()
    let delivery = Delivery(id: "d1", topic: "progress", key: "m1", traceParent: Self.parent + "01")
    test.tracer.taking(delivery)?.end(DeliveryReceipt(id: "d1", outcome: .taken))
    test.tracer.taking(delivery)?.end(DeliveryReceipt(id: "d1", outcome: .refused, reason: "bad"))
    #expect(test.tracer.taking(Delivery(id: "d2", topic: "progress")) == nil)
    #expect(test.tracer.taking(Delivery(id: "d2", topic: "progress", traceParent: "nonsense")) == nil)
    let spans = test.finished
    #expect(spans.map(\.name) == ["take progress", "take progress"])
    #expect(spans.allSatisfy { $0.kind == .consumer && $0.parent?.description == "00f067aa0ba902b7" })
    #expect(spans.first?.attributes.get("messaging.message.key") == "m1")
    #expect(spans.map { $0.attributes.get("messaging.outcome") } == ["TAKEN", "REFUSED"])
    #expect(spans.map { $0.status?.code } == [nil, .error])
    #expect(!ServiceTracer.current.startSpan("outside").isRecording)
    test.tracer.withSpan("inside") { _ in
      #expect(ServiceTracer.current.startSpan("inner").isRecording)
    }
  }

  @Test(arguments: LogFormat.allCases)
  func logLinesInsideASpanNameIt(_ format: LogFormat) {
    let lines = Lines()
    let logger = Logger(label: "test") { label in
      var handler = LineLogHandler(label: label, format: format, level: .info) { lines.add($0) }
      handler.metadataProvider = .trace
      return handler
    }
    logger.info("outside")
    #expect(!lines.text.contains("trace_id"))
    ServiceTracer().withSpan("x") { span in
      logger.info("inside")
      for (key, value) in [("trace_id", "\(span.trace.traceID)"), ("span_id", "\(span.trace.spanID)")] {
        #expect(lines.text.contains(format == .text ? "\(key)=\(value)" : "\"\(key)\":\"\(value)\""))
      }
    }
  }
}
