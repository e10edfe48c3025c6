import Messages
public import Tracing

/// Makes a service's spans: ids, sampling and the way into and out of headers. Spans that are recorded go to a queue,
/// from which an exporter takes them.
///
/// Handed to whoever needs it instead of bootstrapped into `InstrumentationSystem`: HTTP client libraries take the
/// tracer from there, and would tell every web page that a mission fetches our trace ids.
public struct ServiceTracer: Tracer {
  private let queue: SpanQueue?
  private let ratio: Double

  /// Records nothing. Ids are still made and passed on, so that logs of several services can be put together.
  public init() { self.init(queue: nil, ratio: 0) }

  /// - Parameter ratio: How many of the traces that begin here are recorded, 0 to 1. A trace that comes from a caller
  ///   is recorded if the caller records it.
  init(queue: SpanQueue?, ratio: Double) {
    self.queue = queue
    self.ratio = queue == nil ? 0 : ratio
  }

  public func startSpan<Instant: TracerInstant>(
    _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
    at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
  ) -> ServiceSpan {
    let context = context()
    let parent = context.trace
    let traceID = parent?.traceID ?? .random()
    let trace = TraceContext(
      traceID: traceID, spanID: .random(), isSampled: parent?.isSampled ?? isSampled(traceID),
      state: parent?.state ?? .init())
    return ServiceSpan(
      trace, parent: parent?.spanID, within: context, name: operationName, kind: kind,
      start: instant().nanosecondsSinceEpoch, tracer: self, queue: trace.isSampled ? queue : nil)
  }

  /// Decided by the id, so that whoever decides by the same rule decides alike.
  private func isSampled(_ id: TraceID) -> Bool {
    ratio >= 1 || Double(id.low) < ratio * 0x1p64
  }

  public func activeSpan(identifiedBy context: ServiceContext) -> ServiceSpan? { context.span }

  /// The exporter does it in its own time.
  public func forceFlush() {}
}

// MARK: - Headers

extension ServiceTracer {
  private static let parentHeader = "traceparent"
  private static let stateHeader = "tracestate"

  public func extract<Carrier, Extract: Extractor>(
    _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
  ) where Extract.Carrier == Carrier {
    guard let parent = extractor.extract(key: Self.parentHeader, from: carrier) else { return }
    let state = extractor.extract(key: Self.stateHeader, from: carrier) ?? ""
    if let trace = TraceContext(traceparent: parent, tracestate: state) { context.trace = trace }
  }

  public func inject<Carrier, Inject: Injector>(
    _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
  ) where Inject.Carrier == Carrier {
    guard let trace = context.trace else { return }
    injector.inject(trace.traceparent, forKey: Self.parentHeader, into: &carrier)
    if !trace.state.text.isEmpty { injector.inject(trace.state.text, forKey: Self.stateHeader, into: &carrier) }
  }
}

// MARK: - Deliveries

extension ServiceTracer {
  /// The tracer of the span around the current task; one that records nothing without a span.
  static var current: ServiceTracer { ServiceContext.current?.span?.tracer ?? ServiceTracer() }

  /// A CONSUMER span for the taking in of what another service's outbox delivered, in the trace that caused it.
  /// Nil for one that came without a trace.
  func taking(_ delivery: Delivery) -> ServiceSpan? {
    guard TraceContext(traceparent: delivery.traceParent) != nil else { return nil }
    let span = startSpan("take \(delivery.topic)", context: .continuing(delivery.traceParent), ofKind: .consumer)
    span.attributes["messaging.system"] = "buddy"
    span.attributes["messaging.operation.type"] = "process"
    span.attributes["messaging.destination.name"] = delivery.topic
    span.attributes["messaging.message.id"] = delivery.id
    span.attributes["messaging.message.key"] = delivery.key
    return span
  }
}

extension ServiceSpan {
  /// The delivery was taken in, or refused.
  func end(_ receipt: DeliveryReceipt) {
    attributes["messaging.outcome"] = String(receipt.outcome.protoName.dropFirst("DELIVERY_OUTCOME_".count))
    if receipt.outcome == .refused { setStatus(SpanStatus(code: .error, message: receipt.reason)) }
    end()
  }
}
