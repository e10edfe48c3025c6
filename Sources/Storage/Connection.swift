public import Foundation

/// Reads inside one transaction: every statement of a closure sees the same state of the database.
///
/// A connection is valid only inside the closure it was handed to; it is not `Sendable`, and must not be kept.
/// Statements take `$1`, `$2` … for their arguments.
public class ReadConnection {
  let session: any Session

  init(session: any Session) {
    self.session = session
  }

  /// All rows of a query, or of a statement with `RETURNING`.
  public final func rows(_ sql: String, _ arguments: any ValueConvertible...) throws -> [Row] {
    try rows(sql, arguments: arguments)
  }

  public final func rows(_ sql: String, arguments: [any ValueConvertible]) throws -> [Row] {
    try session.query(sql, values(arguments), firstOnly: false)
  }

  /// The first row, or nil where there is none.
  public final func first(_ sql: String, _ arguments: any ValueConvertible...) throws -> Row? {
    try first(sql, arguments: arguments)
  }

  public final func first(_ sql: String, arguments: [any ValueConvertible]) throws -> Row? {
    try session.query(sql, values(arguments), firstOnly: true).first
  }

  /// All rows as records.
  public final func all<T: RowDecodable>(
    _ type: T.Type, _ sql: String, _ arguments: any ValueConvertible...
  ) throws -> [T] {
    try all(type, sql, arguments: arguments)
  }

  public final func all<T: RowDecodable>(
    _ type: T.Type, _ sql: String, arguments: [any ValueConvertible]
  ) throws -> [T] {
    try rows(sql, arguments: arguments).map(T.init(row:))
  }

  /// The first row as a record, or nil where there is none.
  public final func first<T: RowDecodable>(
    _ type: T.Type, _ sql: String, _ arguments: any ValueConvertible...
  ) throws -> T? {
    try first(sql, arguments: arguments).map(T.init(row:))
  }

  /// Whether the database has a table of this name.
  public final func hasTable(_ name: String) throws -> Bool { try session.hasTable(name) }

  /// The time by the database's clock, which all of its processes share, whatever their machines' clocks say.
  public final func now() throws -> Date { try session.now() }

  final func values(_ arguments: [any ValueConvertible]) throws -> [Value] {
    try arguments.map { try $0.databaseValue.checked() }
  }
}

/// Reads and writes inside a transaction that may be shared with other writers of the same turn, each behind its
/// own savepoint. It can be passed wherever a ``ReadConnection`` is taken.
public final class WriteConnection: ReadConnection {
  let signals: CommitSignals
  private var actions: [@Sendable () -> Void] = []

  init(session: any Session, signals: CommitSignals) {
    self.signals = signals
    super.init(session: session)
  }

  /// Runs a statement and returns how many rows it inserted, changed or deleted.
  @discardableResult
  public func execute(_ sql: String, _ arguments: any ValueConvertible...) throws -> Int {
    try execute(sql, arguments: arguments)
  }

  @discardableResult
  public func execute(_ sql: String, arguments: [any ValueConvertible]) throws -> Int {
    try session.execute(sql, values(arguments))
  }

  /// Runs an action once what this closure wrote is durable, before its writer is answered; never if it is rolled
  /// back. Actions run in the order in which their closures wrote, on the writer's own thread: they must be quick
  /// and never wait (wake somebody, yield to a stream).
  public func afterCommit(_ action: @escaping @Sendable () -> Void) {
    actions.append(action)
  }

  /// Wakes those who listen to a topic (``Database/listen(_:)``), in other processes of the database too, once what
  /// this closure wrote is durable.
  public func notify(_ topic: String) {
    session.announce(topic)
    let signals = signals
    afterCommit { signals.notify(topic) }
  }

  /// Runs a part that can fail for itself: where it throws, what it wrote and what it wanted done after the commit is
  /// undone, and the closure may go on. Savepoints may be nested.
  public func savepoint<T>(_ body: () throws -> T) throws -> T {
    let before = actions.count
    try session.control(.nestedSavepoint)
    do {
      let value = try body()
      try session.control(.releaseNested)
      return value
    } catch {
      actions.removeSubrange(before...)
      // Without its transaction, which some errors end, there is nothing to go back to.
      guard session.isInTransaction else { throw error }
      try session.control(.rollbackToNested)
      try session.control(.releaseNested)
      throw error
    }
  }

  func takeActions() -> [@Sendable () -> Void] {
    defer { actions = [] }
    return actions
  }
}
