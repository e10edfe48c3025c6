import Foundation

/// PostgreSQL through libpq: one schema is one database. Any number of processes may have it open; their writers take
/// turns by a lock that belongs to the schema.
struct PostgresEngine: Engine {
  let address: PostgresAddress
  let options: DatabaseOptions
  /// Whether connections show that the schema is in use; not those of a restore, which must be the only user.
  var showsUse = true

  func withWriter(_ body: (any Session) throws -> Void) throws {
    try withSession(body)
  }

  func withReader(_ body: (any Session) throws -> Void) throws {
    try withSession(body)
  }

  func makeListener(_ signals: CommitSignals) -> (any SignalListener)? {
    PostgresListener(engine: self, signals: signals)
  }

  func withSession(_ body: (PostgresSession) throws -> Void) throws {
    let session = PostgresSession(link: PostgresLink(engine: self))
    defer { session.close() }
    try session.open()
    try body(session)
  }

  /// The name of the channel by which writers tell other processes' listeners what has news.
  var channel: String { address.schema }

  /// The advisory lock that each connection of those who use the schema shares for as long as it lives, and that a
  /// restore has alone.
  var useLock: String { "hashtextextended('\(address.schema):open', 0)" }

  /// A connection with the schema's settings. Throws ``ConnectFailure``.
  func connect() throws -> PostgresConnection {
    let connection = try PostgresConnection(address, options)
    do {
      _ = try connection.exchange(settings.map { .once($0) }, limit: options.connectTimeout)
      if showsUse { try showUse(connection) }
    } catch let error as PostgresError {
      throw ConnectFailure(detail: "\(address.url): \(error.message)", isLasting: !error.endsConnection)
    } catch let error as ConnectionLost {
      throw ConnectFailure(detail: "\(address.url): \(error.detail)", isLasting: false)
    }
    return connection
  }

  /// Does not wait for a restore: whoever connects tries again anyway.
  private func showUse(_ connection: PostgresConnection) throws {
    let sql = "SELECT pg_try_advisory_lock_shared(\(useLock)) AS shared"
    let result = try connection.exchange([.once(sql)], limit: options.connectTimeout).last
    let row = try? result.flatMap { try $0.rows(Columns($0.columnNames), firstOnly: true).first }
    guard (try? row?.int64("shared")) == 1 else {
      throw ConnectFailure(detail: "\(address): a backup is being restored into it", isLasting: false)
    }
  }

  private var settings: [String] {
    [
      "SET search_path TO \"\(address.schema)\"",
      "SET statement_timeout = \(options.statementTimeout.wholeMilliseconds)",
      "SET lock_timeout = \(options.busyTimeout.wholeMilliseconds)",
      "SET idle_in_transaction_session_timeout = \(options.idleTransactionTimeout.wholeMilliseconds)",
      "SET client_min_messages = warning",
      "SET standard_conforming_strings = on",
      "SET DateStyle = ISO",
      "SET TimeZone = 'UTC'",
      // What was answered must survive a crash of the server, whatever its default is.
      "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    ]
  }

  /// How long to wait for an answer: the server gives a statement up by itself before that.
  var answerLimit: Duration? {
    options.statementTimeout > .zero ? options.statementTimeout + .seconds(5) : nil
  }
}

extension Duration {
  /// For PostgreSQL's settings, where 0 means none.
  var wholeMilliseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}
