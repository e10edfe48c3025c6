/// Why the database did not do what was asked. The messages are for operators: they may hold paths and SQL, so a
/// service logs them and answers its callers with something plainer.
public enum StorageError: Error, Sendable, Hashable {
  /// Another process, or this one a second time, has the database open.
  case locked(path: String, holder: Int32?)
  /// The database was written by a newer version of the program.
  case schemaNewer(path: String, found: Int, known: Int)
  /// A migration that was applied is not the one the program has under that number.
  case migrationEdited(number: Int, name: String)
  /// Migrations must be numbered 1, 2, 3 … without a gap or a repetition.
  case migrationGap(expected: Int, found: Int)
  /// A migration failed and was rolled back; the ones before it stay applied.
  case migrationFailed(number: Int, name: String, reason: String)

  case diskFull(String)
  case readOnly(String)
  /// Another connection kept a lock for longer than the busy timeout.
  case busy(String)
  case corrupt(String)
  case constraint(Constraint, String)
  /// Reading or writing the file failed in another way.
  case io(String)
  case cannotOpen(path: String, reason: String)
  /// The statement is wrong: syntax, an unknown table, the number of arguments.
  case sql(String)
  case column(String, String)
  /// The value cannot be stored.
  case value(String)
  /// The server cannot be reached, or the connection broke: nothing was written, and trying again may help.
  case unavailable(String)
  /// The connection broke while a transaction was being committed: what was written may be durable or lost.
  case outcomeUnknown(String)
  /// The database is closed or being closed.
  case closed

  /// The rule that a row broke.
  public enum Constraint: String, Sendable, Hashable {
    case unique, primaryKey, foreignKey, notNull, check, other
  }
}

extension StorageError {
  /// What writers are told whose work went down with another one's: the disk's errors concern them too, a mistake of
  /// the other one does not.
  static func collateral(of error: any Error) -> StorageError {
    switch error {
    case let error as StorageError where error.concernsEveryone: error
    default: .busy("the shared transaction was given up for another writer's error: \(error)")
    }
  }

  private var concernsEveryone: Bool {
    switch self {
    case .diskFull, .readOnly, .corrupt, .io, .busy, .unavailable: true
    default: false
    }
  }

  /// It comes from what was asked or from the rows it was asked of, so asking again gives it again; the database's own
  /// troubles may pass.
  public var isOfStatement: Bool {
    switch self {
    case .constraint, .sql, .column, .value: true
    default: false
    }
  }
}

extension StorageError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .locked(let path, let holder):
      let process = holder.map { "process \($0)" } ?? "another process"
      return "the database \(path) is in use by \(process); only one process may open it"
    case .schemaNewer(let path, let found, let known):
      return "the database \(path) has schema version \(found), this program knows up to \(known): "
        + "run the newer program, or restore the backup that was made before the upgrade"
    case .migrationEdited(let number, let name):
      return "migration \(number) (\(name)) was changed after it had been applied: add a new migration instead"
    case .migrationGap(let expected, let found):
      return "migrations must be numbered without a gap: expected \(expected), found \(found)"
    case .migrationFailed(let number, let name, let reason):
      return "migration \(number) (\(name)) failed and was rolled back: \(reason)"
    case .diskFull(let detail): return "the disk is full: \(detail)"
    case .readOnly(let detail): return "the database is read-only: \(detail)"
    case .busy(let detail): return "the database is busy: \(detail)"
    case .corrupt(let detail): return "the database is damaged: \(detail)"
    case .constraint(let rule, let detail): return "constraint failed (\(rule.rawValue)): \(detail)"
    case .io(let detail): return "reading or writing the database failed: \(detail)"
    case .cannotOpen(let path, let reason): return "cannot open the database \(path): \(reason)"
    case .sql(let detail): return "wrong statement: \(detail)"
    case .column(let name, let problem): return "column \(name) \(problem)"
    case .value(let detail): return detail
    case .unavailable(let detail): return "the database cannot be reached: \(detail)"
    case .outcomeUnknown(let detail): return "it is not known whether the transaction was committed: \(detail)"
    case .closed: return "the database is closed"
    }
  }
}
