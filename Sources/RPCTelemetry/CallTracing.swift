public import RPC
public import Tracing

/// Spans around calls: a SERVER span around every handler, in the trace that the caller's metadata names, and a CLIENT
/// span around every call that goes out, whose context goes along in the metadata. Which headers carry it is the
/// tracer's matter: W3C's `traceparent` and `tracestate`, mostly.
///
/// Attributes are OpenTelemetry's for RPC and gRPC. A server's span is an error where the fault is the server's; a
/// client's wherever the status is not OK. Put it outermost, so that what others log has the trace's ids.
public struct CallTracing: ServerInterceptor, ClientInterceptor {
  private let tracer: any Tracer
  private let peerService: String?
  private let methods: MethodSelection

  /// - Parameters:
  ///   - tracer: The process's (`InstrumentationSystem.tracer`), unless given.
  ///   - peerService: At a client: the name of the service that is called.
  ///   - services: Left out, by their full names: by default health, whose probes come all the time and tell nothing.
  public init(
    _ tracer: (any Tracer)? = nil, peerService: String? = nil,
    except services: [String] = [InfrastructureServices.health]
  ) {
    self.tracer = tracer ?? InstrumentationSystem.tracer
    self.peerService = peerService
    methods = MethodSelection(except: services)
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path) else { return try await next() }
    let call = TracedCall(context.path)
    var caller = ServiceContext.topLevel
    tracer.extract(context.metadata, into: &caller, using: MetadataHeaders())
    let span = tracer.startSpan(call.name, context: caller, ofKind: .server)
    if span.isRecording {
      var attributes = call.attributes
      attributes["network.peer.address"] = context.peer
      span.attributes = attributes
    }
    do {
      try await ServiceContext.withValue(span.context) { try await next() }
      span.end(Status(.ok), isError: false)
    } catch {
      let status = Status(reporting: error)
      if call.isServersFault(status) { span.recordError(error) }
      span.end(status, isError: call.isServersFault(status))
      throw error
    }
  }

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    guard methods.contains(call.path) else { return nil }
    let traced = TracedCall(call.path)
    let span = tracer.startSpan(traced.name, ofKind: .client)
    if span.isRecording {
      var attributes = traced.attributes
      if let peerService { attributes["peer.service"] = peerService }
      attributes["server.address"] = call.peer
      span.attributes = attributes
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

extension Span {
  fileprivate func end(_ status: Status, isError: Bool) {
    guard isRecording else { return end() }
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
