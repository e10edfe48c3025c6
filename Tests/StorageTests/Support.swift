import Foundation
import Storage
import TestSupport

/// A database in a folder of its own, with one table of numbered texts.
struct Fixture {
  static let migrations = [
    Migration(1, "item", sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);")
  ]

  let folder: TemporaryFolder
  let database: Database
  var path: String { folder.file("test.sqlite3") }

  init(_ migrations: [Migration] = Fixture.migrations, options: DatabaseOptions = .init()) async throws {
    folder = try TemporaryFolder("storage")
    database = try await Database.open(
      .sqlite(path: folder.file("test.sqlite3")), migrations: migrations, options: options)
  }

  func names() async throws -> [String] {
    try await database.read { try $0.rows("SELECT name FROM item ORDER BY id").map { try $0.text("name") } }
  }

  func insert(_ id: Int, _ name: String) async throws {
    try await database.write { _ = try $0.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, name) }
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
