/// Where a database is, and with it which engine runs it.
public enum DatabaseLocation: Sendable, Hashable {
  /// A file of this machine.
  case sqlite(path: String)

  var isExclusive: Bool {
    switch self {
    case .sqlite: true
    }
  }
}
