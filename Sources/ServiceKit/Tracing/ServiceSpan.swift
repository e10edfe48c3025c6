import Synchronization
public import Tracing

/// One operation under way. A value of it, `FinishedSpan`, goes to the exporter when it ends, or when it is dropped.
public final class ServiceSpan: Span {
  /// Of attributes and of events: more are left out.
  static let maximumEntries = 64
  /// Longer texts are cut, in bytes.
  static let maximumText = 1024

  private struct State {
    var name: String
    var attributes: SpanAttributes = [:]
    var events: [SpanEvent] = []
    var links: [SpanLink] = []
    var status: SpanStatus?
    var isEnded = false
  }

  public let trace: TraceContext
  let tracer: ServiceTracer
  private let parent: SpanID?
  private let outer: ServiceContext
  private let kind: SpanKind
  private let start: UInt64
  /// Nil where the span is not recorded.
  private let queue: SpanQueue?
  private let state: Mutex<State>

  init(
    _ trace: TraceContext, parent: SpanID?, within outer: ServiceContext, name: String, kind: SpanKind, start: UInt64,
    tracer: ServiceTracer, queue: SpanQueue?
  ) {
    self.trace = trace
    self.parent = parent
    self.outer = outer
    self.kind = kind
    self.start = start
    self.tracer = tracer
    self.queue = queue
    state = Mutex(State(name: name))
  }

  deinit { finish(at: DefaultTracerClock.now.nanosecondsSinceEpoch) }

  /// The span around the current task, if there is one.
  public static var current: ServiceSpan? { ServiceContext.current?.span }

  /// Made each time: kept, it would keep the span that keeps it.
  public var context: ServiceContext {
    var context = outer
    context.trace = trace
    context.span = self
    return context
  }

  public var isRecording: Bool { queue != nil && !state.withLock(\.isEnded) }

  public var operationName: String {
    get { state.withLock(\.name) }
    set { change { $0.name = newValue } }
  }

  public var attributes: SpanAttributes {
    get { state.withLock(\.attributes) }
    set { change { $0.attributes = newValue } }
  }

  public func setStatus(_ status: SpanStatus) { change { $0.status = status } }

  public func addEvent(_ event: SpanEvent) {
    change { if $0.events.count < Self.maximumEntries { $0.events.append(event) } }
  }

  public func addLink(_ link: SpanLink) {
    change { if $0.links.count < Self.maximumEntries { $0.links.append(link) } }
  }

  /// As OpenTelemetry's conventions write an exception.
  public func recordError<Instant: TracerInstant>(
    _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
  ) {
    guard queue != nil else { return }
    var attributes = attributes
    attributes["exception.type"] = "\(type(of: error))"
    attributes["exception.message"] = "\(error)"
    addEvent(SpanEvent(name: "exception", at: instant(), attributes: attributes))
  }

  public func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
    finish(at: instant().nanosecondsSinceEpoch)
  }

  private func change(_ body: (inout State) -> Void) {
    guard queue != nil else { return }
    state.withLock { state in
      if !state.isEnded { body(&state) }
    }
  }

  private func finish(at end: UInt64) {
    guard let queue else { return }
    let finished: FinishedSpan? = state.withLock { state in
      guard !state.isEnded else { return nil }
      state.isEnded = true
      return FinishedSpan(
        trace: trace, parent: parent, name: state.name, kind: kind, start: start, end: max(start, end),
        attributes: state.attributes, events: state.events, links: state.links.compactMap(\.context.trace),
        status: state.status)
    }
    if let finished { queue.add(finished) }
  }
}

/// What is exported of a span. Times are nanoseconds since 1970.
struct FinishedSpan: Sendable {
  var trace: TraceContext
  var parent: SpanID?
  var name: String
  var kind: SpanKind
  var start: UInt64
  var end: UInt64
  var attributes: SpanAttributes = [:]
  var events: [SpanEvent] = []
  var links: [TraceContext] = []
  var status: SpanStatus?
}

extension ServiceContext {
  private enum SpanKey: ServiceContextKey {
    typealias Value = ServiceSpan
    static var nameOverride: String? { "span" }
  }

  /// The span that this context belongs to, where it is one of this process.
  fileprivate(set) var span: ServiceSpan? {
    get { self[SpanKey.self] }
    set { self[SpanKey.self] = newValue }
  }
}
