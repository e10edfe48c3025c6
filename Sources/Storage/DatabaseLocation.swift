/// Where a database is, and with it which engine runs it.
public enum DatabaseLocation: Sendable, Hashable {
  /// A file of this machine.
  case sqlite(path: String)
  /// A schema of a server's database, which any number of processes and machines may share.
  case postgres(PostgresAddress)

  var isExclusive: Bool {
    switch self {
    case .sqlite: true
    case .postgres: false
    }
  }
}
