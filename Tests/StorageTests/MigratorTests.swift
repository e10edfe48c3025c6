import Foundation
import Storage
import TestSupport
import Testing

@Suite struct MigratorTests {
  private let one = Migration(1, "one", sql: "CREATE TABLE a (id INTEGER); CREATE INDEX a_id ON a (id);")
  private let two = Migration(2, "two", sql: "CREATE TABLE b (id INTEGER);")
  private let three = Migration(3, "three", sql: "ALTER TABLE b ADD COLUMN name TEXT;")

  /// Opens and closes; the tables, or the error.
  private func open(
    _ folder: TemporaryFolder, _ migrations: [Migration], then sql: String? = nil
  ) async throws -> [String] {
    let database = try await Database.open(.sqlite(path: folder.file("m.sqlite3")), migrations: migrations)
    if let sql { try await database.write { _ = try $0.execute(sql) } }
    let tables = try await database.read { connection in
      try connection.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .map { try $0.text("name") }
    }
    await database.close()
    return tables.filter { $0 != "schema_migrations" }
  }

  private func backup(_ folder: TemporaryFolder, before number: Int) -> Bool {
    FileManager.default.fileExists(atPath: folder.file("m.sqlite3.backup-before-\(number)"))
  }

  @Test func appliesWhatIsMissingOnce() async throws {
    let folder = try TemporaryFolder()
    #expect(try await open(folder, []) == [])
    #expect(try await open(folder, [one]) == ["a"])
    #expect(try await open(folder, [one]) == ["a"])
    #expect(try await open(folder, [one, two, three]) == ["a", "b"])
    #expect(try await open(folder, [one, two, three], then: "INSERT INTO b (name) VALUES ('x')") == ["a", "b"])
  }

  @Test func backsUpBeforeChangingWhatIsThere() async throws {
    let folder = try TemporaryFolder()
    _ = try await open(folder, [one], then: "INSERT INTO a (id) VALUES (7)")
    #expect(!backup(folder, before: 1))
    _ = try await open(folder, [one, two, three], then: "DELETE FROM a")
    #expect(backup(folder, before: 2))
    #expect(!backup(folder, before: 3))

    let copy = try await Database.open(.sqlite(path: folder.file("m.sqlite3.backup-before-2")), migrations: [one])
    let ids = try await copy.read { try $0.rows("SELECT id FROM a").map { try $0.int("id") } }
    #expect(ids == [7])
    await copy.close()
  }

  @Test func refusesAGap() async throws {
    let folder = try TemporaryFolder()
    #expect(await storageError { _ = try await open(folder, [one, three]) } == .migrationGap(expected: 2, found: 3))
    #expect(await storageError { _ = try await open(folder, [one, one]) } == .migrationGap(expected: 2, found: 1))
    #expect(await storageError { _ = try await open(folder, [two]) } == .migrationGap(expected: 1, found: 2))
    #expect(try await open(folder, [one]) == ["a"])
  }

  @Test func refusesAnEditedMigration() async throws {
    let folder = try TemporaryFolder()
    _ = try await open(folder, [one, two])
    let edited = Migration(1, "one", sql: one.sql + Array(" -- better".utf8))
    let error = await storageError { _ = try await open(folder, [edited, two, three]) }
    #expect(error == .migrationEdited(number: 1, name: "one"))
    #expect(!backup(folder, before: 3))
  }

  @Test func refusesASchemaThatIsNewer() async throws {
    let folder = try TemporaryFolder()
    _ = try await open(folder, [one, two, three])
    let error = await storageError { _ = try await open(folder, [one]) }
    #expect(error == .schemaNewer(path: folder.file("m.sqlite3"), found: 3, known: 1))
  }

  @Test(arguments: ["CREATE TABLE c (id INTEGER); CREATE TABLE a (id INTEGER);", "COMMIT;", "SELEC", "\u{FFFD}"])
  func aFailingMigrationLeavesTheOnesBefore(_ sql: String) async throws {
    let folder = try TemporaryFolder()
    let bytes = sql == "\u{FFFD}" ? [0xFF] : Array(sql.utf8)
    let error = await storageError { _ = try await open(folder, [one, two, Migration(3, "bad", sql: bytes)]) }
    guard case .migrationFailed(3, "bad", _) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(try await open(folder, [one, two]) == ["a", "b"])
    #expect(try await open(folder, [one, two, three]) == ["a", "b"])
  }
}
