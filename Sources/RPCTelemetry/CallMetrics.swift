public import Metrics
public import RPC

/// How long calls take, streams to their end, by method and code: a swift-metrics `Timer`, whose count is the number of
/// calls. For the server and for clients; several clients may share one.
public struct CallMetrics: ServerInterceptor, ClientInterceptor {
  /// How a series and its labels are called.
  public struct Series: Sendable {
    /// The timer's label.
    public var duration: String
    /// The name of the label that holds the code: `NOT_FOUND`.
    public var code: String
    /// A method's labels; also those of the service and method `unknown`.
    public var labels: @Sendable (_ service: String, _ method: String) -> [(String, String)]

    public init(
      _ duration: String, code: String,
      labels: @escaping @Sendable (_ service: String, _ method: String) -> [(String, String)]
    ) {
      self.duration = duration
      self.code = code
      self.labels = labels
    }

    /// gRPC's own (gRFC A66): `grpc.server.call.duration`, labelled `grpc.method` and `grpc.status`.
    public static let server = Series("grpc.server.call.duration", code: "grpc.status") { service, method in
      [("grpc.method", "\(service)/\(method)")]
    }
    /// gRPC's own (gRFC A66): `grpc.client.call.duration`, labelled `grpc.method` and `grpc.status`.
    public static let client = Series("grpc.client.call.duration", code: "grpc.status") { service, method in
      [("grpc.method", "\(service)/\(method)")]
    }
  }

  /// How many methods have series of their own where they are not given.
  public static let methodLimit = 200

  private let durations: CallDurations

  /// - Parameters:
  ///   - methods: The paths that have series of their own: `router.methods`; all others are labelled `unknown`. Nil:
  ///     the first 200 that come, for a client.
  ///   - factory: Where metrics go: the process's (`MetricsSystem.factory`), unless given.
  public init(_ series: Series, methods: [String]? = nil, factory: (any MetricsFactory)? = nil) {
    durations = CallDurations(
      series, paths: methods, limit: Self.methodLimit, factory: factory ?? MetricsSystem.factory)
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    let start = ContinuousClock.now
    do {
      try await next()
      durations.record(context.path, .ok, since: start)
    } catch {
      durations.record(context.path, Status(reporting: error).code, since: start)
      throw error
    }
  }

  /// Callers choose what they ask for, so all such calls share one method.
  public func refused(_ status: Status) { durations.recordUnknown(status.code) }

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    let (path, start) = (call.path, ContinuousClock.now)
    return { [durations] status in durations.record(path, status.code, since: start) }
  }
}
