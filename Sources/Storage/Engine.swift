import Foundation

/// One open connection of an engine, used by one thread. Engines differ only behind this protocol and `Engine`.
protocol Session: AnyObject {
  /// Runs a statement that answers with rows. `firstOnly` may stop after the first one.
  func query(_ sql: String, _ arguments: [Value], firstOnly: Bool) throws -> [Row]
  /// Runs a statement and returns how many rows it changed.
  func execute(_ sql: String, _ arguments: [Value]) throws -> Int
  /// Runs a text of several statements: a migration.
  func script(_ sql: String) throws
  func control(_ command: TransactionCommand) throws
  /// The time by the clock that all processes of this database share: for PostgreSQL the server's.
  func now() throws -> Date
  /// Wakes those who listen to a topic in other processes, if the transaction is committed.
  func announce(_ topic: String)
  /// Runs a body while no other process writes to the database.
  func exclusively(_ body: () throws -> Void) throws
  /// False once the engine has given up the transaction by itself, as SQLite may when the disk is full.
  var isInTransaction: Bool { get }
  /// Whether there is any table besides the one named.
  func hasTables(besides name: String) throws -> Bool
  func hasTable(_ name: String) throws -> Bool
  /// Copies the database aside, under a name that ends in `suffix`.
  func backUp(suffix: String) throws
}

/// The statements by which `Storage` alone directs transactions.
enum TransactionCommand: Int, CaseIterable {
  case begin, beginRead, commit, rollback, savepoint, release, rollbackToSavepoint
  /// A savepoint inside a writer's own. Several may be open: a command means the innermost.
  case nestedSavepoint, releaseNested, rollbackToNested
}

/// Opens connections. The first three calls open one, run the body with it on the calling thread and close it
/// afterwards.
protocol Engine: Sendable {
  func withWriter(_ body: (any Session) throws -> Void) throws
  func withReader(_ body: (any Session) throws -> Void) throws
  /// The same, in a transaction that stays at the state it found, while no other process can write.
  func withSnapshot(_ body: (any Snapshot) throws -> Void) throws
  /// Makes the state of a backup that of the place, or leaves it as it was.
  func restore(from backup: String, _ migrations: [Migration], replaces: Bool) throws
  /// What hears the announcements of other processes; nil where there can be none.
  func makeListener(_ signals: CommitSignals) -> (any SignalListener)?
}
