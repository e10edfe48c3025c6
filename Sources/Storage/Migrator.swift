import Crypto
import Foundation

/// Brings a database's schema up to date, or says why it cannot. Nothing is changed before every check has passed.
struct Migrator {
  private static let table = "schema_migrations"

  let migrations: [Migration]
  /// For messages.
  let path: String

  func run(_ session: any Session) throws {
    try checkNumbers(migrations.map(\.number))
    try session.exclusively { try bringUpToDate(session) }
  }

  private func bringUpToDate(_ session: any Session) throws {
    try session.script(
      """
      CREATE TABLE IF NOT EXISTS \(Self.table) (
        number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_us BIGINT NOT NULL)
      """)
    let applied = try session.query(
      "SELECT number, name, checksum FROM \(Self.table) ORDER BY number", [], firstOnly: false)
    try checkApplied(applied)

    let pending = migrations.dropFirst(applied.count)
    guard let next = pending.first else { return }
    if try session.hasTables(besides: Self.table) {
      try session.backUp(suffix: "backup-before-\(next.number)")
    }
    for migration in pending { try apply(migration, session) }
  }

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

  private func apply(_ migration: Migration, _ session: any Session) throws {
    do {
      guard let sql = String(validating: migration.sql, as: UTF8.self) else {
        throw StorageError.sql("the migration is not UTF-8")
      }
      try session.control(.begin)
      try session.script(sql)
      guard session.isInTransaction else { throw StorageError.sql("a migration must not end its transaction") }
      let now = try Date().databaseValue
      _ = try session.execute(
        "INSERT INTO \(Self.table) (number, name, checksum, applied_us) VALUES ($1, $2, $3, $4)",
        [.integer(Int64(migration.number)), .text(migration.name), .text(checksum(migration)), now])
      try session.control(.commit)
    } catch {
      if session.isInTransaction { try? session.control(.rollback) }
      throw StorageError.migrationFailed(number: migration.number, name: migration.name, reason: "\(error)")
    }
  }

  private func checksum(_ migration: Migration) -> String {
    SHA256.hash(data: migration.sql).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
