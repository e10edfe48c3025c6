public import RPC
public import Storage

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
  let database: Database?
  let files: StateFiles?
  let background: [@Sendable () async throws -> Void]
  let willStop: (@Sendable () async -> Void)?
  let stop: (@Sendable () async -> Void)?

  /// A gRPC service; health and reflection are added to its router, and `buddy.admin.v1.Admin` if it has a database.
  ///
  /// - Parameters:
  ///   - database: Holds the service's state.
  ///   - files: The files below the data folder that belong to the state too; a backup takes them along.
  ///   - background: Run beside the service and are cancelled when it stops. One that throws ends the process.
  ///   - willStop: Called when the process begins to stop, before it waits for calls: ends streams that would not end
  ///     by themselves.
  ///   - stop: Called last, when no call and no background task runs any more: closes what the service has open.
  public init(
    router: Router, database: Database? = nil, files: StateFiles? = nil,
    background: [@Sendable () async throws -> Void] = [],
    willStop: (@Sendable () async -> Void)? = nil, stop: (@Sendable () async -> Void)? = nil
  ) {
    self.init(.gRPC(router), database, files, background, willStop, stop)
  }

  /// A service of another protocol, which brings its own server.
  public init(
    serve: @escaping Serve, background: [@Sendable () async throws -> Void] = [],
    willStop: (@Sendable () async -> Void)? = nil, stop: (@Sendable () async -> Void)? = nil
  ) {
    self.init(.other(serve), nil, nil, background, willStop, stop)
  }

  private init(
    _ kind: Kind, _ database: Database?, _ files: StateFiles?, _ background: [@Sendable () async throws -> Void],
    _ willStop: (@Sendable () async -> Void)?, _ stop: (@Sendable () async -> Void)?
  ) {
    self.kind = kind
    self.database = database
    self.files = files
    self.background = background
    self.willStop = willStop
    self.stop = stop
  }
}
