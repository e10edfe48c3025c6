import Foundation
import ServiceTestSupport
import Storage

/// A database in a place of its own, with one table of numbered texts.
struct Fixture {
  static let migrations = [
    Migration(1, "item", sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);")
  ]

  let store: TestStore
  let database: Database

  init(
    _ engine: TestEngine, _ migrations: [Migration] = Fixture.migrations, options: DatabaseOptions = .init()
  ) async throws {
    try await self.init(TestStore(engine), migrations, options: options)
  }

  init(
    _ store: TestStore, _ migrations: [Migration] = Fixture.migrations, options: DatabaseOptions = .init()
  ) async throws {
    self.store = store
    database = try await store.open(migrations, options: options)
  }

  /// Of SQLite's file.
  var path: String {
    if case .sqlite(let path) = store.location { path } else { "" }
  }

  func names() async throws -> [String] { try await database.names() }

  func insert(_ id: Int, _ name: String) async throws { try await database.insert(id, name) }
}

extension Database {
  func names() async throws -> [String] {
    try await read { try $0.rows("SELECT name FROM item ORDER BY id").map { try $0.text("name") } }
  }

  func insert(_ id: Int, _ name: String) async throws {
    try await write { _ = try $0.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, name) }
  }
}

/// Runs a body whose `StorageError` is wanted; nil where it throws none.
func storageError(_ body: () async throws -> Void) async -> StorageError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? StorageError
  }
}
