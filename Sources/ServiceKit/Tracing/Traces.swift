import Foundation
import Logging
import Tracing

/// What can be set about traces.
enum TraceSettings {
  static let endpoint = Setting<String>(
    "otlp-endpoint", default: "",
    help: "HOST:PORT of an OpenTelemetry collector (OTLP over gRPC, without TLS) that takes this process's traces")
  static let sample = Setting<Double>(
    "trace-sample", default: 1,
    help: "how many of the traces that begin here are exported, from 0 to 1; a caller's traces follow the caller. "
      + "Nothing is exported without --otlp-endpoint", in: 0...1)

  static let all: [any SettingDeclaration] = [endpoint, sample]
}

/// A process's tracing: its tracer, and where its spans go.
struct Traces: Sendable {
  /// How long the last spans may take when the process stops.
  static let flushLimit = Duration.seconds(1)

  let tracer: ServiceTracer
  private let exporter: SpanExporter?

  /// Throws ``SettingError`` for an endpoint that is no address.
  init(_ name: ServiceName, _ settings: Settings, logger: Logger) throws {
    let text = settings[TraceSettings.endpoint]
    guard !text.isEmpty else {
      (tracer, exporter) = (ServiceTracer(), nil)
      return
    }
    guard let endpoint = PeerAddress(settingText: text) else {
      throw SettingError("otlp-endpoint", value: text, expected: PeerAddress.expected)
    }
    let exporter = SpanExporter(endpoint, resource: Self.resource(name), logger: logger)
    self.exporter = exporter
    tracer = ServiceTracer(queue: exporter.queue, ratio: settings[TraceSettings.sample])
    exporter.start()
  }

  /// What the process is, in OpenTelemetry's words.
  private static func resource(_ name: ServiceName) -> [(String, SpanAttribute)] {
    [
      ("service.name", .string("buddy-\(name.rawValue)")), ("service.namespace", "buddy"),
      ("service.instance.id", .string(UUID().uuidString.lowercased())),
      ("process.pid", .int64(Int64(ProcessInfo.processInfo.processIdentifier))),
      ("telemetry.sdk.name", "buddy"), ("telemetry.sdk.language", "swift"),
    ]
  }

  /// Sends the spans that wait.
  func shutdown() async { await exporter?.shutdown(within: Self.flushLimit) }
}

extension Logger.MetadataProvider {
  /// Which trace and span a line of the log belongs to.
  static let trace = Logger.MetadataProvider {
    guard let trace = TraceContext.current else { return [:] }
    return ["trace_id": "\(trace.traceID)", "span_id": "\(trace.spanID)"]
  }
}
