import Foundation
import GRDB

/// SQLite in one file, by the rules that keep it safe and fast: WAL with a flush at every commit, exactly one
/// read-write connection behind a lock on `<path>.lock` (it alone checkpoints), everything else read-only.
struct SQLiteEngine: Engine {
  let path: String
  let busyTimeout: Duration
  let synchronous: DatabaseOptions.Synchronous

  init(path: String, busyTimeout: Duration, synchronous: DatabaseOptions.Synchronous = .full) {
    // Two names of one file must mean one lock.
    self.path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    self.busyTimeout = busyTimeout
    self.synchronous = synchronous
  }

  func withWriter(_ body: (any Session) throws -> Void) throws {
    try createFolder()
    let lock = try FileLock(path: path + ".lock", guarding: path)
    defer { lock.release() }
    try createFile()
    try withConnection(isReadOnly: false, body)
  }

  func withReader(_ body: (any Session) throws -> Void) throws {
    try withConnection(isReadOnly: true, body)
  }

  /// Only one process has the file open.
  func makeListener(_ signals: CommitSignals) -> (any SignalListener)? { nil }

  /// The connection lives and dies on the calling thread, inside one use of its GRDB queue.
  private func withConnection(isReadOnly: Bool, _ body: (any Session) throws -> Void) throws {
    let queue: DatabaseQueue
    do {
      queue = try DatabaseQueue(path: path, configuration: configuration(isReadOnly: isReadOnly))
    } catch let error as DatabaseError {
      throw StorageError(error, opening: path)
    }
    defer { try? queue.close() }
    try queue.inDatabase { database in
      let session = SQLiteSession(database, path: path)
      // Statements that outlived this block would keep the connection from closing.
      defer { session.close() }
      try body(session)
    }
  }

  private func configuration(isReadOnly: Bool) -> Configuration {
    var configuration = Configuration()
    configuration.readonly = isReadOnly
    configuration.foreignKeysEnabled = true
    configuration.busyMode = .timeout(busyTimeout / .seconds(1))
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA trusted_schema = OFF")
      guard !isReadOnly else { return }
      let mode = try String.fetchOne(database, sql: "PRAGMA journal_mode = WAL")
      guard mode == "wal" else {
        throw DatabaseError(resultCode: .SQLITE_CANTOPEN, message: "the file system does not support WAL")
      }
      try database.execute(
        sql: "PRAGMA synchronous = \(synchronous.rawValue); PRAGMA journal_size_limit = 67108864")
    }
    return configuration
  }

  private func createFolder() throws {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    guard let failed = Self.create(folder: folder) else { return }
    throw StorageError.cannotOpen(
      path: path, reason: "the folder \(folder) cannot be created: \(String(cString: strerror(failed)))")
  }

  /// Creates a folder and what is missing above it, for its owner only. Returns the error number if that fails.
  private static func create(folder: String) -> Int32? {
    if mkdir(folder, 0o700) == 0 || errno == EEXIST { return nil }
    guard errno == ENOENT, folder != "/" else { return errno }
    let parent = URL(fileURLWithPath: folder).deletingLastPathComponent().path
    if let failed = create(folder: parent) { return failed }
    return mkdir(folder, 0o700) == 0 || errno == EEXIST ? nil : errno
  }

  /// SQLite would let the umask decide who can read the file; its log files copy this one's permissions.
  private func createFile() throws {
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      let reason = errno
      if access(path, F_OK) == 0, reason == EACCES || reason == EPERM || reason == EROFS {
        throw StorageError.readOnly("\(path): \(String(cString: strerror(reason)))")
      }
      throw StorageError.cannotOpen(path: path, reason: String(cString: strerror(reason)))
    }
    close(file)
  }
}
