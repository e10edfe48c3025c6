import Foundation
import ServiceTestSupport
import Storage
import Testing

@Suite struct MigratorTests {
  private let one = Migration(1, "one", sql: "CREATE TABLE a (id INTEGER); CREATE INDEX a_id ON a (id);")
  private let two = Migration(2, "two", sql: "CREATE TABLE b (id INTEGER);")
  private let three = Migration(3, "three", sql: "ALTER TABLE b ADD COLUMN name TEXT;")

  /// Opens and closes; the tables, or the error.
  private func open(_ store: TestStore, _ migrations: [Migration], then sql: String? = nil) async throws -> [String] {
    let database = try await store.open(migrations)
    if let sql { try await database.write { _ = try $0.execute(sql) } }
    let tables = try await database.read { connection in
      let list =
        if let schema = store.schema {
          try connection.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = $1 ORDER BY 1", schema)
        } else {
          try connection.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        }
      return try list.map { try $0.text("name") }
    }
    await database.close()
    return tables.filter { $0 != "schema_migrations" }
  }

  /// The numbers in table `a` of the backup, or nil if there is none.
  private func backup(_ store: TestStore, before number: Int) async throws -> [Int]? {
    let database: Database
    let table: String
    switch store.location {
    case .sqlite(let path):
      let copy = "\(path).backup-before-\(number)"
      guard FileManager.default.fileExists(atPath: copy) else { return nil }
      (database, table) = (try await Database.open(.sqlite(path: copy), migrations: [one]), "a")
    case .postgres(let address):
      let schema = "\(address.schema)_backup_before_\(number)"
      let server = try await PostgresServer.shared()
      guard try await server.sql("SELECT 1 FROM pg_namespace WHERE nspname = '\(schema)'") == "1" else { return nil }
      (database, table) = (try await store.open([one, two, three]), schema + ".a")
    }
    let ids = try await database.read { try $0.rows("SELECT id FROM \(table)").map { try $0.int("id") } }
    await database.close()
    return ids
  }

  @Test(arguments: TestEngine.allCases) func appliesWhatIsMissingOnce(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    #expect(try await open(store, []) == [])
    #expect(try await open(store, [one]) == ["a"])
    #expect(try await open(store, [one]) == ["a"])
    #expect(try await open(store, [one, two, three]) == ["a", "b"])
    #expect(try await open(store, [one, two, three], then: "INSERT INTO b (name) VALUES ('x')") == ["a", "b"])
  }

  @Test(arguments: TestEngine.allCases) func backsUpBeforeChangingWhatIsThere(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    _ = try await open(store, [one], then: "INSERT INTO a (id) VALUES (7)")
    #expect(try await backup(store, before: 1) == nil)
    _ = try await open(store, [one, two, three], then: "DELETE FROM a")
    #expect(try await backup(store, before: 2) == [7])
    #expect(try await backup(store, before: 3) == nil)
  }

  @Test(arguments: TestEngine.allCases) func refusesAGap(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    #expect(await storageError { _ = try await open(store, [one, three]) } == .migrationGap(expected: 2, found: 3))
    #expect(await storageError { _ = try await open(store, [one, one]) } == .migrationGap(expected: 2, found: 1))
    #expect(await storageError { _ = try await open(store, [two]) } == .migrationGap(expected: 1, found: 2))
    #expect(try await open(store, [one]) == ["a"])
  }

  @Test(arguments: TestEngine.allCases) func refusesAnEditedMigration(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    _ = try await open(store, [one, two])
    let edited = Migration(1, "one", sql: one.sql + Array(" -- better".utf8))
    let error = await storageError { _ = try await open(store, [edited, two, three]) }
    #expect(error == .migrationEdited(number: 1, name: "one"))
    #expect(try await backup(store, before: 3) == nil)
  }

  @Test(arguments: TestEngine.allCases) func refusesASchemaThatIsNewer(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    _ = try await open(store, [one, two, three])
    let error = await storageError { _ = try await open(store, [one]) }
    guard case .schemaNewer(_, found: 3, known: 1) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
  }

  @Test(
    arguments: TestEngine.allCases,
    ["CREATE TABLE c (id INTEGER); CREATE TABLE a (id INTEGER);", "COMMIT;", "SELEC", "\u{FFFD}"])
  func aFailingMigrationLeavesTheOnesBefore(_ engine: TestEngine, _ sql: String) async throws {
    let store = try await TestStore(engine)
    let bytes = sql == "\u{FFFD}" ? [0xFF] : Array(sql.utf8)
    let error = await storageError { _ = try await open(store, [one, two, Migration(3, "bad", sql: bytes)]) }
    guard case .migrationFailed(3, "bad", _) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(try await open(store, [one, two]) == ["a", "b"])
    #expect(try await open(store, [one, two, three]) == ["a", "b"])
  }
}
