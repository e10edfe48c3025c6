import Foundation
import GRDB

/// One SQLite connection, on the thread that opened it.
final class SQLiteSession: Session {
  private struct Prepared {
    let statement: Statement
    let columns: Columns
  }

  /// More than all statements of a service; texts made by code cannot fill the memory all the same.
  private static let largestCache = 500

  let database: GRDB.Database
  private let path: String
  private var prepared: [String: Prepared] = [:]
  private var commands: [TransactionCommand: Statement] = [:]
  /// A statement of the transaction has failed: it can only be rolled back, as a whole or to a savepoint.
  private var hasFailed = false

  init(_ database: GRDB.Database, path: String) {
    self.database = database
    self.path = path
  }

  /// Drops all statements, so that the connection can be closed.
  func close() {
    prepared = [:]
    commands = [:]
  }

  func query(_ sql: String, _ arguments: [Value], firstOnly: Bool) throws -> [Row] {
    try coded(or: { prepared[sql] = nil }) {
      try requireHealthy()
      let prepared = try prepare(sql)
      let cursor = try GRDB.Row.fetchCursor(prepared.statement, arguments: bound(arguments))
      // A writing statement must run to its end even where one row is enough.
      let stopsEarly = firstOnly && prepared.statement.isReadonly
      var rows: [Row] = []
      while let row = try cursor.next() {
        rows.append(Row(columns: prepared.columns, values: row.databaseValues.map(Value.init)))
        if stopsEarly { break }
      }
      return rows
    }
  }

  func execute(_ sql: String, _ arguments: [Value]) throws -> Int {
    try coded(or: { prepared[sql] = nil }) {
      try requireHealthy()
      let statement = try prepare(sql).statement
      let before = database.totalChangesCount
      try statement.execute(arguments: bound(arguments))
      // `changesCount` keeps the figure of an earlier statement where this one changed nothing.
      return database.totalChangesCount == before ? 0 : database.changesCount
    }
  }

  func script(_ sql: String) throws {
    try coded(or: {}) { try database.execute(sql: sql) }
  }

  func control(_ command: TransactionCommand) throws {
    switch command {
    case .begin, .beginRead, .rollback, .rollbackToSavepoint, .rollbackToNested: hasFailed = false
    case .release, .releaseNested, .commit: try requireHealthy()
    case .savepoint, .nestedSavepoint: break
    }
    try coded(or: { commands[command] = nil }) {
      let statement = try commands[command] ?? database.makeStatement(sql: command.sql)
      commands[command] = statement
      try statement.execute()
    }
  }

  func now() -> Date { Date() }

  func announce(_ topic: String) {}

  /// The file's lock keeps all others out for as long as it is open.
  func exclusively(_ body: () throws -> Void) throws { try body() }

  var isInTransaction: Bool { database.isInsideTransaction }

  func hasTables(besides name: String) throws -> Bool {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> $1"
    return try !query(sql, [.text(name)], firstOnly: true).isEmpty
  }

  func hasTable(_ name: String) throws -> Bool {
    let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1"
    return try !query(sql, [.text(name)], firstOnly: true).isEmpty
  }

  /// Complete or absent: a crash on the way leaves only a `.partial` file.
  func backUp(suffix: String) throws {
    let target = "\(path).\(suffix)"
    let partial = target + ".partial"
    try? FileManager.default.removeItem(atPath: partial)
    try script("VACUUM INTO '\(partial.replacing("'", with: "''"))'")
    chmod(partial, 0o600)
    guard rename(partial, target) == 0 else {
      throw StorageError.io("renaming \(partial): \(String(cString: strerror(errno)))")
    }
  }

  private func prepare(_ sql: String) throws -> Prepared {
    if let known = prepared[sql] { return known }
    let statement = try database.makeStatement(sql: SQLiteText.translate(sql))
    let new = Prepared(statement: statement, columns: Columns(statement.columnNames))
    if prepared.count >= Self.largestCache { prepared = [:] }
    prepared[sql] = new
    return new
  }

  private func bound(_ arguments: [Value]) -> StatementArguments {
    // As optionals: the initializer for values of one type goes by a key path, which is made anew for every call.
    StatementArguments(arguments.map { $0.databaseStorage as (any DatabaseValueConvertible)? })
  }

  /// A closure that keeps a statement's error to itself is not taken for one that succeeded: PostgreSQL could not go
  /// on after the error either.
  private func requireHealthy() throws {
    if hasFailed { throw StorageError.sql("a statement had failed before, so what the closure wrote is undone") }
  }

  /// Every error of SQLite is coded once, here. A statement that failed is forgotten: resetting it for its next use
  /// would report the same error again.
  private func coded<T>(or forget: () -> Void, _ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as DatabaseError {
      forget()
      hasFailed = database.isInsideTransaction
      throw StorageError(error)
    }
  }
}

extension TransactionCommand {
  var sql: String {
    switch self {
    // Taking the write lock at once: a reader's transaction that turns into a writer's can fail half way.
    case .begin: "BEGIN IMMEDIATE"
    case .beginRead: "BEGIN DEFERRED"
    case .commit: "COMMIT"
    case .rollback: "ROLLBACK"
    case .savepoint: "SAVEPOINT writer"
    case .release: "RELEASE writer"
    case .rollbackToSavepoint: "ROLLBACK TO writer"
    case .nestedSavepoint: "SAVEPOINT part"
    case .releaseNested: "RELEASE part"
    case .rollbackToNested: "ROLLBACK TO part"
    }
  }
}

extension Value {
  init(_ value: DatabaseValue) {
    switch value.storage {
    case .null: self = .null
    case .int64(let number): self = .integer(number)
    case .double(let number): self = .real(number)
    case .string(let text): self = .text(text)
    case .blob(let bytes): self = .blob([UInt8](bytes))
    }
  }

  var databaseStorage: DatabaseValue {
    switch self {
    case .null: .null
    case .integer(let number): number.databaseValue
    case .real(let number): number.databaseValue
    case .text(let text): text.databaseValue
    case .blob(let bytes): Data(bytes).databaseValue
    }
  }
}
