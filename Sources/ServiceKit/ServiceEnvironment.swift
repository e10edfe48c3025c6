public import Logging
public import RPC
public import Storage
import Synchronization

/// What a service is given to be made from.
public struct ServiceEnvironment: Sendable {
  public let name: ServiceName
  public let settings: Settings
  public let logger: Logger
  private let clients: Clients

  init(name: ServiceName, settings: Settings, logger: Logger) {
    self.name = name
    self.settings = settings
    self.logger = logger
    clients = Clients(settings: settings)
  }

  /// The folder that holds the databases and files of this machine's services.
  public var dataDirectory: String { settings[CommonSettings.data] }

  /// The process's one client of another service. It connects when it is first used, so the service need not be up.
  public func client(_ peer: ServiceName) -> Client { clients.client(peer) }

  /// One more client of another service, with a connection of its own, which closes when the client is dropped.
  public func makeClient(_ peer: ServiceName) -> Client { clients.make(peer) }

  /// The service's own database, `<data>/<name>.sqlite3`. Throws `StorageError`.
  public func openDatabase(migrations: [Migration]) async throws -> Database {
    try await Database.open(.sqlite(path: "\(dataDirectory)/\(name.rawValue).sqlite3"), migrations: migrations)
  }

  func closeClients() async { await clients.close() }
}

/// One client for each service that is called.
private final class Clients: Sendable {
  private let settings: Settings
  private let byName = Mutex<[ServiceName: Client]>([:])

  init(settings: Settings) {
    self.settings = settings
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
    return Client(host: address.host, port: address.port, options: options)
  }

  func close() async {
    let all = byName.withLock { clients in
      defer { clients = [:] }
      return Array(clients.values)
    }
    for client in all { await client.close() }
  }
}
