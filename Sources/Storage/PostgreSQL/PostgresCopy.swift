import Foundation

/// A read transaction that stays open, and the schema's lock, which keeps the writers of every process waiting.
struct PostgresSnapshot: Snapshot {
  let connection: PostgresSession
  var session: any Session { connection }

  init(_ connection: PostgresSession) throws {
    self.connection = connection
    try connection.holdWriters()
  }

  func letWritersGo() throws { try connection.releaseWriters() }

  func copy(to path: String, _ migrations: [Migration], isCancelled: @escaping () -> Bool) throws {
    try SQLiteFile.create(path)
    let copy = SQLiteEngine(path: path, busyTimeout: .seconds(5))
    try copy.withConnection(isReadOnly: false) { target in
      try Migrator(migrations: migrations, path: path).run(target)
      // A connection must not be given back with its transaction open.
      defer { if target.isInTransaction { try? target.control(.rollback) } }
      try target.control(.begin)
      try TableCopy(source: connection, target: target, isCancelled: isCancelled).run(target.tablesInOrder())
      try target.control(.commit)
    }
    try SQLiteFile(path: path).check()
  }
}

extension PostgresEngine {
  func withSnapshot(_ body: (any Snapshot) throws -> Void) throws {
    try withSession { try body(PostgresSnapshot($0)) }
  }

  /// All in one transaction: the schema as of the backup, its rows, and the migrations since.
  func restore(from backup: String, _ migrations: [Migration], replaces: Bool) throws {
    guard FileManager.default.isReadableFile(atPath: backup) else {
      throw StorageError.io("\(backup) cannot be read")
    }
    try SQLiteEngine(path: backup, busyTimeout: .seconds(5)).withConnection(isReadOnly: true) { source in
      try source.checkBackup(backup)
      let migrator = Migrator(migrations: migrations, path: backup)
      let version = try migrator.version(of: source)
      var engine = self
      engine.showsUse = false
      try engine.withSession { target in
        try target.exclusively {
          try target.useAlone()
          let isEmpty = try !target.hasTables(besides: "")
          guard isEmpty || replaces else { throw NotEmpty(place: address.description) }
          try target.control(.begin)
          do {
            if !isEmpty { try target.putSchemaAside() }
            try migrator.apply(migrations.prefix(version), to: target)
            try TableCopy(source: source, target: target) { false }.run(source.tablesInOrder())
            try migrator.apply(migrations.dropFirst(version), to: target)
            try target.control(.commit)
          } catch {
            if target.isInTransaction { try? target.control(.rollback) }
            throw error
          }
        }
      }
    }
  }
}
