import Messages
import Tracing

/// Spans as OpenTelemetry's protocol writes them.
enum OTLP {
  typealias Request = OpentelemetryProtoCollectorTraceV1ExportTraceServiceRequest

  /// - Parameter resource: What the process is.
  static func request(_ spans: [FinishedSpan], resource: [(String, SpanAttribute)]) -> Request {
    let scope = OpentelemetryProtoCommonV1InstrumentationScope(name: "buddy")
    let attributes = resource.compactMap { pair($0.0, $0.1) }
    return Request(resourceSpans: [
      OpentelemetryProtoTraceV1ResourceSpans(
        resource: .init(attributes: attributes), scopeSpans: [.init(scope: scope, spans: spans.map(span))])
    ])
  }

  private static func span(_ span: FinishedSpan) -> OpentelemetryProtoTraceV1Span {
    OpentelemetryProtoTraceV1Span(
      traceId: span.trace.traceID.bytes, spanId: span.trace.spanID.bytes, traceState: span.trace.state.text,
      parentSpanId: span.parent?.bytes ?? [], name: text(span.name), kind: kind(span.kind),
      startTimeUnixNano: span.start, endTimeUnixNano: span.end, attributes: pairs(span.attributes),
      events: span.events.map {
        .init(timeUnixNano: $0.nanosecondsSinceEpoch, name: text($0.name), attributes: pairs($0.attributes))
      },
      links: span.links.map { .init(traceId: $0.traceID.bytes, spanId: $0.spanID.bytes, traceState: $0.state.text) },
      status: span.status.map(status), flags: span.trace.isSampled ? 1 : 0)
  }

  private static func kind(_ kind: SpanKind) -> OpentelemetryProtoTraceV1Span.SpanKind {
    switch kind {
    case .server: .server
    case .client: .client
    case .producer: .producer
    case .consumer: .consumer
    case .internal: .internal
    }
  }

  private static func status(_ status: SpanStatus) -> OpentelemetryProtoTraceV1Status {
    OpentelemetryProtoTraceV1Status(message: text(status.message ?? ""), code: status.code == .ok ? .ok : .error)
  }

  // MARK: - Attributes

  private static func pairs(_ attributes: SpanAttributes) -> [OpentelemetryProtoCommonV1KeyValue] {
    var pairs: [OpentelemetryProtoCommonV1KeyValue] = []
    attributes.forEach { name, value in
      if pairs.count < ServiceSpan.maximumEntries, let pair = pair(name, value) { pairs.append(pair) }
    }
    return pairs.sorted { $0.key < $1.key }
  }

  private static func pair(_ name: String, _ value: SpanAttribute) -> OpentelemetryProtoCommonV1KeyValue? {
    self.value(value).map { .init(key: text(name), value: .init(value: $0)) }
  }

  private static func value(_ attribute: SpanAttribute) -> OpentelemetryProtoCommonV1AnyValue.Value? {
    switch attribute {
    case .int32(let value): .intValue(Int64(value))
    case .int64(let value): .intValue(value)
    case .double(let value): .doubleValue(value)
    case .bool(let value): .boolValue(value)
    case .string(let value): .stringValue(text(value))
    case .stringArray(let values): .stringValue(text(values.joined(separator: ",")))
    case .stringConvertible(let value): .stringValue(text("\(value)"))
    // No attribute of ours is another list.
    default: nil
    }
  }

  /// Of a bounded length, and without the character that ends a C string.
  private static func text(_ text: String) -> String {
    let isPlain = text.utf8.count <= ServiceSpan.maximumText && !text.utf8.contains(0)
    if isPlain { return text }
    var result = ""
    for character in text.replacing("\0", with: "\u{FFFD}") {
      if result.utf8.count + character.utf8.count > ServiceSpan.maximumText - 3 { return result + "…" }
      result.append(character)
    }
    return result
  }
}
