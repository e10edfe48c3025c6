public import RPC

/// What a service consists of.
public struct ServiceDefinition: Sendable {
  /// Serves on `host` and `port` until it is told to stop gracefully (swift-service-lifecycle's graceful shutdown) and
  /// has finished its requests, or is cancelled. Calls `listening` with the port once connections are taken.
  public typealias Serve = @Sendable (
    _ host: String, _ port: Int, _ listening: @escaping @Sendable (_ port: Int) async -> Void
  ) async throws -> Void

  enum Kind {
    case gRPC(Router)
    case other(Serve)
  }

  let kind: Kind
  let background: [@Sendable () async throws -> Void]
  let willStop: (@Sendable () async -> Void)?
  let stop: (@Sendable () async -> Void)?

  /// A gRPC service; `grpc.health.v1.Health` is added to its router.
  ///
  /// - Parameters:
  ///   - background: Run beside the service and are cancelled when it stops. One that throws ends the process.
  ///   - willStop: Called when the process begins to stop, before it waits for calls: ends streams that would not end
  ///     by themselves.
  ///   - stop: Called last, when no call and no background task runs any more: closes what the service has open.
  public init(
    router: Router, background: [@Sendable () async throws -> Void] = [],
    willStop: (@Sendable () async -> Void)? = nil, stop: (@Sendable () async -> Void)? = nil
  ) {
    self.init(.gRPC(router), background, willStop, stop)
  }

  /// A service of another protocol, which brings its own server.
  public init(
    serve: @escaping Serve, background: [@Sendable () async throws -> Void] = [],
    willStop: (@Sendable () async -> Void)? = nil, stop: (@Sendable () async -> Void)? = nil
  ) {
    self.init(.other(serve), background, willStop, stop)
  }

  private init(
    _ kind: Kind, _ background: [@Sendable () async throws -> Void],
    _ willStop: (@Sendable () async -> Void)?, _ stop: (@Sendable () async -> Void)?
  ) {
    self.kind = kind
    self.background = background
    self.willStop = willStop
    self.stop = stop
  }
}
