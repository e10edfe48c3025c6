import GRDB

extension StorageError {
  init(_ error: DatabaseError) {
    // SQLite's message names tables, columns and paths, never the values of arguments.
    let message = error.message ?? "\(error.extendedResultCode)"
    let detail = error.sql.map { "\(message) in: \($0)" } ?? message
    switch error.resultCode {
    case .SQLITE_FULL: self = .diskFull(detail)
    case .SQLITE_READONLY: self = .readOnly(detail)
    // Of the last ones none says anything about the statement: it may do the next time.
    case .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_NOMEM, .SQLITE_INTERRUPT, .SQLITE_ABORT, .SQLITE_SCHEMA:
      self = .busy(detail)
    case .SQLITE_CORRUPT, .SQLITE_NOTADB: self = .corrupt(detail)
    case .SQLITE_CONSTRAINT: self = .constraint(Constraint(error.extendedResultCode), detail)
    case .SQLITE_IOERR, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_NOLFS, .SQLITE_PROTOCOL: self = .io(detail)
    case .SQLITE_TOOBIG, .SQLITE_MISMATCH: self = .value(detail)
    default: self = .sql(detail)
    }
  }

  /// An error met while opening: what means "cannot be read or written" there is about the file as a whole.
  init(_ error: DatabaseError, opening path: String) {
    let coded = StorageError(error)
    switch coded {
    case .io(let reason), .sql(let reason): self = .cannotOpen(path: path, reason: reason)
    case .corrupt(let reason): self = .corrupt("\(path): \(reason)")
    default: self = coded
    }
  }
}

extension StorageError.Constraint {
  init(_ code: ResultCode) {
    switch code {
    case .SQLITE_CONSTRAINT_UNIQUE, .SQLITE_CONSTRAINT_ROWID: self = .unique
    case .SQLITE_CONSTRAINT_PRIMARYKEY: self = .primaryKey
    case .SQLITE_CONSTRAINT_FOREIGNKEY: self = .foreignKey
    case .SQLITE_CONSTRAINT_NOTNULL: self = .notNull
    case .SQLITE_CONSTRAINT_CHECK: self = .check
    default: self = .other
    }
  }
}
