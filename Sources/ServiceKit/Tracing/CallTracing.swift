import RPC
import Tracing

/// A SERVER span around every handler, in the trace that the caller's metadata names.
struct ServerTracing: ServerInterceptor {
  let tracer: ServiceTracer

  func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    let call = TracedCall(context.path)
    guard call.isTraced else { return try await next() }
    var caller = ServiceContext.topLevel
    tracer.extract(context.metadata, into: &caller, using: MetadataHeaders())
    let span = tracer.startSpan(call.name, context: caller, ofKind: .server)
    if span.isRecording {
      span.attributes = call.attributes
      span.attributes["network.peer.address"] = context.peer
    }
    do {
      try await ServiceContext.withValue(span.context) { try await next() }
      span.end(.init(.ok), isError: false)
    } catch {
      let status = Status(reporting: error)
      if call.isServersFault(status) { span.recordError(error) }
      span.end(status, isError: call.isServersFault(status))
      throw error
    }
  }
}

/// A CLIENT span around every call, whose context goes along in the metadata.
struct ClientTracing: ClientInterceptor {
  let tracer: ServiceTracer
  /// The name of the service that is called.
  let peer: String

  func begin(_ call: inout OutgoingCall) -> CallEnd? {
    let traced = TracedCall(call.path)
    guard traced.isTraced else { return nil }
    let span = tracer.startSpan(traced.name, ofKind: .client)
    if span.isRecording {
      span.attributes = traced.attributes
      span.attributes["peer.service"] = peer
      span.attributes["server.address"] = call.peer
    }
    tracer.inject(span.context, into: &call.options.metadata, using: MetadataHeaders())
    return { status in span.end(status, isError: status.code != .ok) }
  }
}

/// What spans say about a call (OpenTelemetry's conventions for RPC and gRPC).
private struct TracedCall {
  /// `package.Service/Method`.
  let name: String

  init(_ path: String) { name = String(path.dropFirst()) }

  /// Probes come all the time and tell nothing.
  var isTraced: Bool { !name.hasPrefix("grpc.health.v1.Health/") }

  var attributes: SpanAttributes {
    let parts = name.split(separator: "/", maxSplits: 1).map { SpanAttribute.string(String($0)) }
    return ["rpc.system": "grpc", "rpc.service": parts.first ?? "", "rpc.method": parts.dropFirst().first ?? ""]
  }

  /// As against a refusal, which is the caller's error.
  func isServersFault(_ status: Status) -> Bool {
    switch status.code {
    case .unknown, .deadlineExceeded, .unimplemented, .internalError, .unavailable, .dataLoss: true
    default: false
    }
  }
}

extension ServiceSpan {
  fileprivate func end(_ status: Status, isError: Bool) {
    guard isRecording else { return }
    attributes["rpc.grpc.status_code"] = status.code.rawValue
    if isError { setStatus(SpanStatus(code: .error, message: status.description)) }
    end()
  }
}

/// gRPC metadata as carrier of a trace's context.
private struct MetadataHeaders: Extractor, Injector {
  /// A header that may only come once and comes more often is none.
  func extract(key: String, from metadata: Metadata) -> String? {
    let values = metadata.all(key)
    return key == "tracestate" ? values.joined(separator: ",") : values.count == 1 ? values[0] : nil
  }

  func inject(_ value: String, forKey key: String, into metadata: inout Metadata) {
    metadata.removeAll(key)
    metadata.add(value, for: key)
  }
}
