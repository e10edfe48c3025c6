import CLibPQ
import Foundation

/// One libpq connection in pipeline mode: several commands go out together and cost one round trip.
///
/// The connection belongs to the thread that made it. It never waits for ever: an answer that does not come within
/// the limit counts as a lost connection, even where the machine at the other end still keeps the socket open.
final class PostgresConnection {
  enum Command {
    /// A statement without arguments, prepared for this once.
    case once(String)
    case prepare(name: String, sql: String, types: [Oid])
    case execute(name: String, PostgresArguments)
  }

  private let handle: OpaquePointer
  /// Once true, for ever.
  private(set) var isLost = false
  /// Statements that are prepared on this connection.
  var statements = PostgresStatements()

  /// - Throws: ``ConnectFailure``.
  init(_ address: PostgresAddress, _ options: DatabaseOptions) throws {
    let settings = Self.settings(address, options)
    let (keywords, values) = (settings.map { strdup($0.0) } + [nil], settings.map { strdup($0.1) } + [nil])
    defer { for text in keywords + values { free(text) } }
    let connection = PQconnectdbParams(keywords.map { UnsafePointer($0) }, values.map { UnsafePointer($0) }, 1)
    guard let connection else { throw ConnectFailure(detail: "out of memory", isLasting: false) }
    handle = connection
    // Everything of the server that is not an error would go to standard error.
    PQsetNoticeReceiver(handle, { _, _ in }, nil)
    guard PQstatus(handle) == CONNECTION_OK, PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
      throw ConnectFailure(message: lastMessage, address, keywords, values)
    }
  }

  /// What libpq is told. The address may set again what stands before it, but not what stands after it.
  private static func settings(_ address: PostgresAddress, _ options: DatabaseOptions) -> [(String, String)] {
    [
      ("connect_timeout", String(max(2, Int((options.connectTimeout / .seconds(1)).rounded(.up))))),
      ("target_session_attrs", "primary"),
      ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "20000"),
      ("fallback_application_name", options.applicationName),
      ("dbname", address.conninfo),
      ("client_encoding", "UTF8"),
    ]
  }

  deinit { PQfinish(handle) }

  var socket: Int32 { PQsocket(handle) }
  var isInTransaction: Bool { [PQTRANS_INTRANS, PQTRANS_INERROR].contains(status) }
  /// A statement of the transaction has failed: it can only be rolled back, as a whole or to a savepoint.
  var hasFailed: Bool { status == PQTRANS_INERROR }
  private var status: PGTransactionStatusType { isLost ? PQTRANS_UNKNOWN : PQtransactionStatus(handle) }
  private var lastMessage: String { PQerrorMessage(handle).map { String(cString: $0) } ?? "" }

  /// False where the server has closed the connection while nothing was asked of it.
  func isStillThere() -> Bool {
    guard !isLost else { return false }
    let hungUp: Int16 = 0x2000  // POLLRDHUP, which glibc's headers show to GNU's C only
    var wait = pollfd(fd: socket, events: hungUp, revents: 0)
    guard poll(&wait, 1, 0) > 0 else { return true }
    return wait.revents & (Int16(POLLHUP) | Int16(POLLERR) | hungUp) == 0
  }

  /// Sends commands and waits for all of their answers; those of rows are in the order of the commands.
  ///
  /// Throws the first ``PostgresError`` (the server then passes over the commands after it) or ``ConnectionLost``.
  func exchange(_ commands: [Command], limit: Duration?) throws -> [PostgresResult] {
    let deadline = limit.map { ContinuousClock.now + $0 }
    guard !isLost else { throw ConnectionLost(detail: "the connection was lost before") }
    for command in commands where !send(command) { throw lost() }
    guard PQpipelineSync(handle) == 1 else { throw lost() }
    try flush(deadline)
    return try results(deadline)
  }

  /// Runs a text of several statements: a migration.
  func script(_ sql: String, limit: Duration?) throws {
    let deadline = limit.map { ContinuousClock.now + $0 }
    guard !isLost, PQexitPipelineMode(handle) == 1, PQsendQuery(handle, sql) == 1 else { throw lost() }
    try flush(deadline)
    var failure: PostgresError?
    while let result = try next(deadline) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_FATAL_ERROR: failure = failure ?? PostgresError(result)
      // It would wait for data that nobody sends.
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH: throw lost("COPY is not supported")
      default: break
      }
    }
    guard PQstatus(handle) == CONNECTION_OK, PQenterPipelineMode(handle) == 1 else { throw lost(failure) }
    if let failure { throw failure }
  }

  /// The payloads of notifications that have come.
  func notifications() throws -> [String] {
    guard !isLost, PQconsumeInput(handle) == 1 else { throw lost() }
    var all: [String] = []
    while let notification = PQnotifies(handle) {
      all.append(String(cString: notification.pointee.extra))
      PQfreemem(notification)
    }
    return all
  }

  private func send(_ command: Command) -> Bool {
    let sent: Int32
    switch command {
    case .once(let sql):
      sent = PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 1)
    case .prepare(let name, let sql, let types):
      sent = PQsendPrepare(handle, name, sql, Int32(types.count), types)
    case .execute(let name, let arguments):
      sent = arguments.withArrays { values, lengths, formats in
        PQsendQueryPrepared(handle, name, Int32(values.count), values, lengths, formats, 1)
      }
    }
    return sent == 1
  }

  private func results(_ deadline: ContinuousClock.Instant?) throws -> [PostgresResult] {
    var (all, failure) = ([PostgresResult](), PostgresError?.none)
    while true {
      guard let result = try next(deadline, after: failure) else {
        // Nil ends one command's answer; on a broken connection it is all that ever comes.
        guard PQstatus(handle) == CONNECTION_OK else { throw lost(failure) }
        continue
      }
      switch PQresultStatus(result) {
      case PGRES_PIPELINE_SYNC:
        PQclear(result)
        if let failure { throw failure }
        return all
      case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE, PGRES_NONFATAL_ERROR:
        failure = failure ?? PostgresError(result)
        PQclear(result)
      case PGRES_PIPELINE_ABORTED:
        PQclear(result)
      default:
        all.append(PostgresResult(owning: result))
      }
    }
  }

  private func next(
    _ deadline: ContinuousClock.Instant?, after failure: PostgresError? = nil
  ) throws -> OpaquePointer? {
    while PQisBusy(handle) == 1 {
      try wait(for: Int16(POLLIN), deadline)
      guard PQconsumeInput(handle) == 1 else { throw lost(failure) }
    }
    return PQgetResult(handle)
  }

  private func flush(_ deadline: ContinuousClock.Instant?) throws {
    while true {
      switch PQflush(handle) {
      case 0: return
      case 1:
        // Reading too: a server that has much to say stops listening until it has said it.
        let ready = try wait(for: Int16(POLLIN) | Int16(POLLOUT), deadline)
        if ready & Int16(POLLIN) != 0, PQconsumeInput(handle) != 1 { throw lost() }
      default: throw lost()
      }
    }
  }

  @discardableResult
  private func wait(for events: Int16, _ deadline: ContinuousClock.Instant?) throws -> Int16 {
    var wait = pollfd(fd: socket, events: events, revents: 0)
    while true {
      let rest = deadline.map { max(0, ($0 - ContinuousClock.now) / .milliseconds(1)) }
      let count = poll(&wait, 1, rest.map { Int32(min($0.rounded(.up), Double(Int32.max))) } ?? -1)
      if count > 0 { return wait.revents }
      if count == 0 { throw lost("the server did not answer in time") }
      guard errno == EINTR else { throw lost("poll: \(String(cString: strerror(errno)))") }
    }
  }

  /// Gives the connection up.
  private func lost(_ failure: PostgresError? = nil) -> ConnectionLost {
    var error = lost(failure.map { "\($0.message) [\($0.state)]" } ?? lastMessage.trimmedLine)
    error.wasIdle = failure?.state == "25P03"
    return error
  }

  private func lost(_ detail: String) -> ConnectionLost {
    isLost = true
    return ConnectionLost(detail: "the connection to the server was lost: \(detail)")
  }
}

/// Why there is no connection.
struct ConnectFailure: Error {
  let detail: String
  /// Trying again will not help: the password, the name of the database or a certificate is wrong.
  let isLasting: Bool
}

extension ConnectFailure {
  private static let passing = [
    "too many", "connection slots", "starting up", "shutting down", "recovery mode", "not yet accepting",
    "terminating connection",
  ]

  private static let lasting = ["certificate", "does not support SSL", "invalid "]

  init(
    message: String, _ address: PostgresAddress, _ keywords: [UnsafeMutablePointer<CChar>?],
    _ values: [UnsafeMutablePointer<CChar>?]
  ) {
    detail = "\(address.url): \(message.trimmedLine)"
    if Self.passing.contains(where: message.contains) {
      isLasting = false
    } else if Self.lasting.contains(where: message.contains) {
      isLasting = true
    } else {
      // A server that answers has refused this very connection.
      let answer = PQpingParams(keywords.map { UnsafePointer($0) }, values.map { UnsafePointer($0) }, 1)
      isLasting = answer == PQPING_OK || answer == PQPING_NO_ATTEMPT
    }
  }
}
