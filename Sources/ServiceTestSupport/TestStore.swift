public import Storage
import TestSupport

/// The engines a store's tests run on: `@Test(arguments: TestEngine.allCases)`.
public enum TestEngine: String, CaseIterable, Sendable {
  case sqlite
  case postgres
}

/// A place of its own for one database, which goes with the last reference. It can be opened again after it was closed.
public final class TestStore: Sendable {
  public let location: DatabaseLocation
  private let folder: TemporaryFolder?
  private let server: PostgresServer?

  public convenience init(_ engine: TestEngine) async throws {
    try await self.init(engine, server: engine == .postgres ? PostgresServer.shared() : nil)
  }

  /// A schema of a server of the test's own.
  public convenience init(on server: PostgresServer) async throws {
    try await self.init(.postgres, server: server)
  }

  private init(_ engine: TestEngine, server: PostgresServer?) async throws {
    self.server = server
    if let server {
      folder = nil
      location = .postgres(try PostgresAddress(server.url(), schema: "test_\(UInt64.random(in: 0...UInt64.max))"))
    } else {
      let folder = try TemporaryFolder("store")
      self.folder = folder
      location = .sqlite(path: folder.file("test.sqlite3"))
    }
  }

  deinit {
    if let server, case .postgres(let address) = location { server.dropSchema(address.schema) }
  }

  /// Where it is on PostgreSQL.
  public var schema: String? {
    if case .postgres(let address) = location { address.schema } else { nil }
  }

  public func open(_ migrations: [Migration], options: DatabaseOptions = .init()) async throws -> Database {
    try await Database.open(location, migrations: migrations, options: options)
  }
}
