import Foundation

/// One PostgreSQL connection, on the thread that opened it.
///
/// Savepoints and the beginning of a read are not sent by themselves: they go out in front of the next statement, and
/// a closure's savepoint is released together with the next closure's statement or the commit. So a turn of the writer
/// costs one round trip for its beginning, one for its commit and one for each statement, however many closures share
/// it. (Running a turn without savepoints, and again one by one where a closure fails, would cost the same; but a
/// closure that throws is ordinary, and would let a turn of 512 start over.)
final class PostgresSession: Session {
  let link: PostgresLink
  /// What goes out in front of the next statement.
  private var pending: [String] = []
  private var topics: [String] = []
  /// Nothing of the read transaction has been answered yet, so it can begin again on another connection.
  private var isFreshRead = false
  /// No limits: a migration takes as long as it takes.
  var isUnlimited = false

  init(link: PostgresLink) { self.link = link }

  var engine: PostgresEngine { link.engine }
  private var limit: Duration? { isUnlimited ? nil : engine.answerLimit }
  var lock: String { "hashtextextended('\(engine.address.schema)', 0)" }

  func open() throws { try link.open() }

  func close() { link.close() }

  // MARK: - Statements

  func query(_ sql: String, _ arguments: [Value], firstOnly: Bool) throws -> [Row] {
    let (result, statement) = try run(sql, arguments)
    let columns = statement.columns ?? Columns(result.columnNames)
    statement.columns = columns
    return try result.rows(columns, firstOnly: firstOnly)
  }

  func execute(_ sql: String, _ arguments: [Value]) throws -> Int {
    try run(sql, arguments).result.changes
  }

  private func run(
    _ sql: String, _ arguments: [Value]
  ) throws -> (result: PostgresResult, statement: PostgresStatements.Prepared) {
    let arguments = PostgresArguments(arguments)
    do {
      return try attempt(sql, arguments)
    } catch let error as ConnectionLost {
      guard isFreshRead else { throw StorageError.unavailable("nothing was written: \(error.detail)") }
    }
    // A read on a connection that was found dead: begun again, once, on a new one.
    _ = try link.connected()
    pending = [Self.beginRead]
    do {
      return try attempt(sql, arguments)
    } catch let error as ConnectionLost {
      throw StorageError.unavailable(error.detail)
    }
  }

  private func attempt(
    _ sql: String, _ arguments: PostgresArguments
  ) throws -> (result: PostgresResult, statement: PostgresStatements.Prepared) {
    guard let connection = link.current else { throw ConnectionLost(detail: "there is no connection to the server") }
    let key = PostgresStatements.Key(sql: sql, types: arguments.types)
    let known = connection.statements[key]
    let statement = known ?? connection.statements.make()
    if known == nil { try check(sql, arguments) }
    var commands = pending.map { PostgresConnection.Command.once($0) }
    if known == nil { commands.append(.prepare(name: statement.name, sql: sql, types: arguments.types)) }
    commands.append(.execute(name: statement.name, arguments))
    pending = []
    do {
      let results = try connection.exchange(commands, limit: limit)
      isFreshRead = false
      guard let result = results.last else { throw StorageError.sql("no answer to: \(sql)") }
      if known == nil { connection.statements.add(statement, for: key) }
      return (result, statement)
    } catch let error as PostgresError {
      isFreshRead = false
      // A table has changed under the plan: it is prepared anew next time.
      if error.state == "0A000" { connection.statements.removeAll() }
      throw StorageError(error, in: sql)
    }
  }

  private func check(_ sql: String, _ arguments: PostgresArguments) throws {
    let highest = try SQLText.read(sql)
    guard highest == arguments.types.count else {
      throw StorageError.sql("\(arguments.types.count) arguments for $1…$\(highest) in: \(sql)")
    }
  }

  func script(_ sql: String) throws {
    let connection = try link.connected()
    try coded { try connection.script(PostgresText.translate(migration: sql), limit: limit) }
  }

  func now() throws -> Date {
    let rows = try query("SELECT clock_timestamp() AS now", [], firstOnly: true)
    guard let now = try rows.first?.date("now") else { throw StorageError.sql("the server does not tell the time") }
    return now
  }

  func announce(_ topic: String) {
    if !topics.contains(topic) { topics.append(topic) }
  }

  // MARK: - Transactions

  static let beginRead = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

  var isInTransaction: Bool { link.current?.isInTransaction ?? false }

  func control(_ command: TransactionCommand) throws {
    switch command {
    case .begin: try begin()
    case .beginRead:
      try tidy(link.connected())
      (pending, isFreshRead) = ([Self.beginRead], true)
    case .savepoint: try set("writer")
    case .release: try release("writer")
    case .rollbackToSavepoint: try rollback(to: "writer")
    case .nestedSavepoint: try set("part")
    case .releaseNested: try release("part")
    case .rollbackToNested: try rollback(to: "part")
    case .commit: try commit()
    case .rollback: try rollback()
    }
  }

  private func set(_ savepoint: String) throws {
    try requireHealthy()
    pending.append("SAVEPOINT \(savepoint)")
  }

  private func release(_ savepoint: String) throws {
    try requireHealthy()
    // One with nothing after it need not be set at all.
    if pending.last == "SAVEPOINT \(savepoint)" {
      pending.removeLast()
    } else {
      pending.append("RELEASE \(savepoint)")
    }
  }

  private func rollback(to savepoint: String) throws {
    guard pending.last != "SAVEPOINT \(savepoint)" else { return }
    try send(pending + ["ROLLBACK TO \(savepoint)"])
  }

  private func begin() throws {
    (pending, topics, isFreshRead) = ([], [], false)
    do {
      try begin(on: link.connected())
    } catch is ConnectionLost {
      // It died while nobody used it, and nothing was sent yet that could be lost.
      do {
        try begin(on: link.connected())
      } catch let error as ConnectionLost {
        throw StorageError.unavailable(error.detail)
      }
    }
  }

  /// In READ COMMITTED each statement sees what was committed before it, so all that follow the lock see the work of
  /// every writer before; with a snapshot of the transaction they would see it as it was when the wait began.
  private func begin(on connection: PostgresConnection) throws {
    try tidy(connection)
    let commands = ["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "SELECT pg_advisory_xact_lock(\(lock))"]
    do {
      _ = try connection.exchange(commands.map { .once($0) }, limit: limit)
    } catch let error as PostgresError {
      try? rollback()
      throw StorageError(error, in: "waiting for the other writers of \(engine.address.schema)")
    }
  }

  /// Outside of a transaction: drops the statements of a full cache.
  private func tidy(_ connection: PostgresConnection) throws {
    guard connection.statements.isFull else { return }
    connection.statements.removeAll()
    try coded { _ = try connection.exchange([.once("DEALLOCATE ALL")], limit: limit) }
  }

  private func commit() throws {
    try requireHealthy()
    guard let connection = link.current, connection.isStillThere() else {
      link.close()
      throw StorageError.unavailable("nothing was written: the server had closed the connection before the commit")
    }
    let notices = topics.map { "SELECT pg_notify('\(engine.channel)', '\($0.replacing("'", with: "''"))')" }
    let commands = pending + notices + ["COMMIT"]
    (pending, topics) = ([], [])
    do {
      let results = try connection.exchange(commands.map { .once($0) }, limit: limit)
      // The server answers the commit of a failed transaction in this way.
      if results.last?.tag == "ROLLBACK" { throw StorageError.sql("the transaction had failed before its commit") }
    } catch let error as PostgresError {
      throw StorageError(error, in: "COMMIT")
    } catch let error as ConnectionLost {
      if error.wasIdle { throw StorageError.unavailable("nothing was written: \(error.detail)") }
      throw StorageError.outcomeUnknown(error.detail)
    }
  }

  func rollback() throws {
    (pending, topics) = ([], [])
    guard let connection = link.current, connection.isInTransaction else { return }
    try coded { _ = try connection.exchange([.once("ROLLBACK")], limit: limit) }
  }

  /// Runs statements of Storage's own in one round trip.
  func send(_ commands: [String]) throws {
    pending = []
    guard let connection = link.current else { throw StorageError.unavailable("the connection was lost") }
    try coded { _ = try connection.exchange(commands.map { .once($0) }, limit: limit) }
  }

  /// A closure that keeps a statement's error to itself must not be taken for one that succeeded.
  private func requireHealthy() throws {
    guard let connection = link.current, connection.isInTransaction else {
      throw StorageError.unavailable("nothing was written: the connection to the server was lost")
    }
    if connection.hasFailed { throw StorageError.sql("a statement had failed, so what the closure wrote is undone") }
  }

  private func coded<T>(_ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as PostgresError {
      throw StorageError(error)
    } catch let error as ConnectionLost {
      throw StorageError.unavailable(error.detail)
    }
  }
}
