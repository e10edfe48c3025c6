public import Logging
public import RPC
import RPCTelemetry
public import Storage
import Synchronization

/// What a service is given to be made from.
public struct ServiceEnvironment: Sendable {
  public let name: ServiceName
  public let settings: Settings
  public let logger: Logger
  /// What the admin port shows under `/metrics`.
  public let metrics: MetricsRegistry
  public let tracer: ServiceTracer
  /// Nil: plain text.
  let tls: ServiceTLS?
  let readiness = Readiness()
  private let clients: Clients

  init(
    name: ServiceName, settings: Settings, logger: Logger, metrics: MetricsRegistry = MetricsRegistry(),
    tracer: ServiceTracer, tls: ServiceTLS? = nil
  ) {
    self.name = name
    self.settings = settings
    self.logger = logger
    self.metrics = metrics
    self.tracer = tracer
    self.tls = tls
    let callMetrics = ClientMetrics(metrics)
    clients = Clients(settings: settings, tls: tls) {
      [CallTracing(tracer, peerService: "buddy-\($0.rawValue)"), callMetrics.interceptor($0)]
    }
  }

  /// The folder that holds the databases and files of this machine's services.
  public var dataDirectory: String { settings[CommonSettings.data] }

  /// The process's one client of another service. It connects when it is first used, so the service need not be up.
  public func client(_ peer: ServiceName) -> Client { clients.client(peer) }

  /// One more client of another service, with a connection of its own, which closes when the client is dropped.
  public func makeClient(_ peer: ServiceName) -> Client { clients.make(peer) }

  /// The service's own database: `<data>/<name>.sqlite3`, or the schema `buddy_<name>` of the server that `--database`
  /// names. Throws `StorageError`.
  ///
  /// With `--restore-from` it is filled from a backup instead, and what is thrown ends the process with success.
  public func openDatabase(migrations: [Migration]) async throws -> Database {
    let location = try settings[CommonSettings.database].location(of: name, dataFolder: dataDirectory)
    let backup = settings[CommonSettings.restoreFrom]
    if !backup.isEmpty {
      let restore = StateRestore(
        backup: backup, folder: dataDirectory, replaces: settings[CommonSettings.restoreReplaces])
      try await restore.run(location, migrations)
      throw StateRestore.Done()
    }
    let storage = StorageMetrics(metrics: metrics)
    var options = storage.options
    options.applicationName = "buddy-\(name.rawValue)"
    let database = try await Database.open(location, migrations: migrations, options: options)
    storage.watch(database)
    readiness.require(database)
    return database
  }

  func closeClients() async { await clients.close() }
}

/// One client for each service that is called.
private final class Clients: Sendable {
  private let settings: Settings
  private let tls: ServiceTLS?
  private let interceptors: @Sendable (ServiceName) -> [any ClientInterceptor]
  private let byName = Mutex<[ServiceName: Client]>([:])

  init(
    settings: Settings, tls: ServiceTLS?,
    interceptors: @escaping @Sendable (ServiceName) -> [any ClientInterceptor]
  ) {
    self.settings = settings
    self.tls = tls
    self.interceptors = interceptors
  }

  func client(_ peer: ServiceName) -> Client {
    byName.withLock { clients in
      if let client = clients[peer] { return client }
      let client = make(peer)
      clients[peer] = client
      return client
    }
  }

  func make(_ peer: ServiceName) -> Client {
    let address = settings[CommonSettings.address(of: peer)]
    var options = ClientOptions()
    // A service that was away for long and is started again is found soon: its outboxes wait for that.
    options.maximumBackoff = .seconds(2)
    options.tls = tls?.clients[peer]
    return Client(host: address.host, port: address.port, options: options, interceptors: interceptors(peer))
  }

  func close() async {
    let all = byName.withLock { clients in
      defer { clients = [:] }
      return Array(clients.values)
    }
    for client in all { await client.close() }
  }
}
