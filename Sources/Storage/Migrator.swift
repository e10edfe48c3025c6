import Crypto
import Foundation

/// Brings a database's schema up to date, or says why it cannot. Nothing is changed before every check has passed.
struct Migrator {
  static let table = "schema_migrations"

  let migrations: [Migration]
  /// For messages.
  let path: String

  func run(_ session: any Session) throws {
    try checkNumbers(migrations.map(\.number))
    try session.exclusively { try bringUpToDate(session) }
  }

  private func bringUpToDate(_ session: any Session) throws {
    try session.script(Self.tableSchema)
    let pending = migrations.dropFirst(try version(of: session))
    guard let next = pending.first else { return }
    if try session.hasTables(besides: Self.table) {
      try session.backUp(suffix: "backup-before-\(next.number)")
    }
    for migration in pending {
      try named(migration) {
        do {
          try session.control(.begin)
          try perform(migration, session)
          try session.control(.commit)
        } catch {
          if session.isInTransaction { try? session.control(.rollback) }
          throw error
        }
      }
    }
  }

  /// How many of the migrations a database has. Throws where what it has is not the beginning of them.
  func version(of session: any Session) throws -> Int {
    let applied = try session.query(
      "SELECT number, name, checksum FROM \(Self.table) ORDER BY number", [], firstOnly: false)
    try checkApplied(applied)
    return applied.count
  }

  /// Applies migrations inside a transaction of the caller's.
  func apply(_ migrations: ArraySlice<Migration>, to session: any Session) throws {
    try session.script(Self.tableSchema)
    for migration in migrations { try named(migration) { try perform(migration, session) } }
  }

  private static let tableSchema = """
    CREATE TABLE IF NOT EXISTS \(table) (
      number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_us BIGINT NOT NULL)
    """

  private func checkNumbers(_ numbers: [Int]) throws {
    for (index, number) in numbers.enumerated() where number != index + 1 {
      throw StorageError.migrationGap(expected: index + 1, found: number)
    }
  }

  private func checkApplied(_ rows: [Row]) throws {
    let newest = try rows.last?.int("number") ?? 0
    guard newest <= migrations.count else {
      throw StorageError.schemaNewer(path: path, found: newest, known: migrations.count)
    }
    try checkNumbers(rows.map { try $0.int("number") })
    for (row, migration) in zip(rows, migrations) where try row.text("checksum") != checksum(migration) {
      throw StorageError.migrationEdited(number: migration.number, name: try row.text("name"))
    }
  }

  private func perform(_ migration: Migration, _ session: any Session) throws {
    guard let sql = String(validating: migration.sql, as: UTF8.self) else {
      throw StorageError.sql("the migration is not UTF-8")
    }
    try session.script(sql)
    guard session.isInTransaction else { throw StorageError.sql("a migration must not end its transaction") }
    let now = try Date().databaseValue
    _ = try session.execute(
      "INSERT INTO \(Self.table) (number, name, checksum, applied_us) VALUES ($1, $2, $3, $4)",
      [.integer(Int64(migration.number)), .text(migration.name), .text(checksum(migration)), now])
  }

  private func named(_ migration: Migration, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch {
      throw StorageError.migrationFailed(number: migration.number, name: migration.name, reason: "\(error)")
    }
  }

  private func checksum(_ migration: Migration) -> String {
    SHA256.hash(data: migration.sql).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
