import Foundation

/// PostgreSQL through libpq: one schema is one database. Any number of processes may have it open; their writers take
/// turns by a lock that belongs to the schema.
struct PostgresEngine: Engine {
  let address: PostgresAddress
  let options: DatabaseOptions

  func withWriter(_ body: (any Session) throws -> Void) throws {
    try withSession(body)
  }

  func withReader(_ body: (any Session) throws -> Void) throws {
    try withSession(body)
  }

  func makeListener(_ signals: CommitSignals) -> (any SignalListener)? {
    PostgresListener(engine: self, signals: signals)
  }

  private func withSession(_ body: (any Session) throws -> Void) throws {
    let session = PostgresSession(link: PostgresLink(engine: self))
    defer { session.close() }
    try session.open()
    try body(session)
  }

  /// The name of the channel by which writers tell other processes' listeners what has news.
  var channel: String { address.schema }

  /// A connection with the schema's settings. Throws ``ConnectFailure``.
  func connect() throws -> PostgresConnection {
    let connection = try PostgresConnection(address, options)
    do {
      _ = try connection.exchange(settings.map { .once($0) }, limit: options.connectTimeout)
    } catch let error as PostgresError {
      throw ConnectFailure(detail: "\(address.url): \(error.message)", isLasting: !error.endsConnection)
    } catch let error as ConnectionLost {
      throw ConnectFailure(detail: "\(address.url): \(error.detail)", isLasting: false)
    }
    return connection
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
