import Foundation
import GRDB

/// A read transaction that stays open: in WAL mode it keeps seeing the state that it began with.
struct SQLiteSnapshot: Snapshot {
  let connection: SQLiteSession
  var session: any Session { connection }

  init(_ connection: SQLiteSession) throws {
    self.connection = connection
    try connection.control(.beginRead)
    // The transaction sees the state of its first statement, not that of its beginning.
    _ = try connection.query("SELECT count(*) AS n FROM sqlite_master", [], firstOnly: true)
  }

  /// There are no others: one process has the file.
  func letWritersGo() {}

  func copy(to path: String, _ migrations: [Migration], isCancelled: @escaping () -> Bool) throws {
    try connection.copyPages(to: path, isCancelled: isCancelled)
    try SQLiteFile(path: path).check()
  }
}

extension SQLiteEngine {
  func withSnapshot(_ body: (any Snapshot) throws -> Void) throws {
    try withConnection(isReadOnly: true) { connection in
      // A connection must not be given back with its transaction open.
      defer { if connection.isInTransaction { try? connection.control(.rollback) } }
      try body(SQLiteSnapshot(connection))
    }
  }
}

extension SQLiteSession {
  /// Throws ``StorageError/corrupt(_:)`` for a file that is damaged, or no database of Buddy's.
  func checkBackup(_ path: String) throws {
    do {
      try SQLiteFile.check(database, path)
    } catch let error as DatabaseError {
      throw StorageError(error, opening: path)
    }
    guard try tableNames().contains(Migrator.table) else {
      throw StorageError.corrupt("\(path) is not the backup of a service's database")
    }
  }

  /// Copies the pages that the open transaction sees into a new file. Commits of others do not disturb it: SQLite
  /// starts a copy over only when the transaction it reads in is a new one.
  fileprivate func copyPages(to path: String, isCancelled: @escaping () -> Bool) throws {
    try SQLiteFile.create(path)
    do {
      let target = try DatabaseQueue(path: path)
      defer { try? target.close() }
      try target.inDatabase { copy in
        // Whether the file is whole is known at its end; until then nothing need survive.
        try copy.execute(sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        try database.backup(to: copy, pagesPerStep: 1024) { _ in if isCancelled() { throw CancellationError() } }
      }
    } catch let error as DatabaseError {
      throw StorageError(error)
    }
  }
}

/// A SQLite file that nobody has open.
struct SQLiteFile {
  let path: String

  /// Makes an empty one, for its owner only; one that is there already is an error.
  static func create(_ path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StorageError.io("creating \(path): \(String(cString: strerror(errno)))") }
    close(file)
  }

  /// Nothing there, or nothing in it. A log without its database counts: SQLite would apply it to the next one.
  var isEmpty: Bool { ["", "-wal"].allSatisfy { size(path + $0) == 0 } }

  /// Reads all of it, makes it one file without a log, and durable. Throws ``StorageError/corrupt(_:)`` for one that
  /// is damaged.
  func check() throws {
    do {
      let queue = try DatabaseQueue(path: path)
      defer { try? queue.close() }
      try queue.inDatabase { database in
        try database.execute(sql: "PRAGMA journal_mode = DELETE")
        try Self.check(database, path)
      }
    } catch let error as DatabaseError {
      throw StorageError(error, opening: path)
    }
    try Self.sync(path)
  }

  /// Reads all of a database; throws ``StorageError/corrupt(_:)`` where it is damaged.
  static func check(_ database: GRDB.Database, _ path: String) throws {
    let problems = try String.fetchAll(database, sql: "PRAGMA integrity_check(3)")
    guard problems == ["ok"] else { throw StorageError.corrupt("\(path): \(problems.joined(separator: "; "))") }
    if let row = try GRDB.Row.fetchOne(database, sql: "PRAGMA foreign_key_check") {
      let table: String = row[0] ?? "a table"
      throw StorageError.corrupt("\(path): a row of \(table) refers to one that is not there")
    }
  }

  /// Gives the file another name, durably.
  func move(to name: String) throws {
    guard rename(path, name) == 0 else {
      throw StorageError.io("renaming \(path) to \(name): \(String(cString: strerror(errno)))")
    }
    try Self.sync(URL(fileURLWithPath: name).deletingLastPathComponent().path)
  }

  /// A file or a folder.
  private static func sync(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw StorageError.io("opening \(path): \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw StorageError.io("syncing \(path): \(String(cString: strerror(errno)))") }
  }

  private func size(_ path: String) -> Int64 {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : 0
  }
}
