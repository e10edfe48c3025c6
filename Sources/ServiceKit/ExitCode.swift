/// How a service's process ends. 64 and up follow sysexits(3).
public enum ExitCode: Int32, Sendable {
  case success = 0
  case failure = 1
  /// A flag or a variable is unknown or has a bad value.
  case usage = 64
  /// The address cannot be listened on, or the database's server cannot be reached.
  case unavailable = 69
  /// The data folder or the database cannot be created or opened.
  case cannotCreate = 73
}
