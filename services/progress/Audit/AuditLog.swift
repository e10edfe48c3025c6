import Messages
import ServiceKit
import Storage

/// The audit log: entries are added, together with the events they are made of, and read. Nothing here changes or
/// deletes one.
struct AuditLog: Sendable {
  /// How many entries are read in one transaction.
  static let readAtOnce = 500
  /// How many entries are added in one statement.
  static let addedAtOnce = 16

  let database: Database

  /// Adds an entry for each event, in their order, in the closure's transaction. The events must be new.
  ///
  /// - Parameter wire: the events as they are stored, where they have been encoded already.
  func append(_ events: [ProgressEvent], wire: [[UInt8]]? = nil, _ connection: WriteConnection) throws {
    guard !events.isEmpty else { return }
    let wire = try wire ?? events.map { try $0.bytes() }
    // Events go on being recorded where somebody took the head away; a check finds that.
    var head = try Self.head(connection) ?? Self.newest(connection) ?? AuditHead()
    var rest = zip(events, wire).map { event, bytes in
      head = head.following(bytes)
      return AuditRecord(
        number: head.number, missionID: event.missionId, actor: event.auditActor, event: bytes, hash: head.hash)
    }[...]
    while !rest.isEmpty {
      let some = rest.prefix(Self.addedAtOnce)
      try connection.execute(Self.insertions[some.count - 1], arguments: some.flatMap(\.arguments))
      rest = rest.dropFirst(some.count)
    }
    try connection.execute(Self.moveHead, head.number, head.hash)
  }

  /// Entries after a number, oldest first: up to `limit` of those of a mission and an actor, empty for all.
  func read(
    after number: Int64, upTo last: Int64 = .max, mission: String = "", actor: String = "",
    limit: Int = AuditLog.readAtOnce
  ) async throws -> [AuditEntry] {
    let query = Self.query(mission: mission, actor: actor)
    let arguments: [any ValueConvertible] = [number, last, limit] + query.arguments
    return try await database.read { connection in
      try connection.rows(query.sql, arguments: arguments).map { row in
        AuditEntry(try AuditRecord(row: row), previousHash: try row.blobOrNil("previous") ?? AuditHead().hash)
      }
    }
  }

  /// The last entry; nil before the first.
  func head() async throws -> AuditHead? { try await database.read { try Self.head($0) } }

  /// Computes the whole chain anew, in pieces, up to the first entry that does not fit.
  func check() async throws -> AuditCheck {
    // What is added meanwhile belongs to the next check.
    let (head, end, added) = try await database.read { connection in
      let newest = try connection.first("SELECT number FROM audit ORDER BY number DESC LIMIT 1")
      return (try Self.head(connection), try newest?.int64("number") ?? .min, try Self.added(connection))
    }
    var check = AuditCheck()
    var next: Int64? = .min
    while let after = next, check.problem == nil {
      try Task.checkCancellation()
      (check, next) = try await database.read { [check] connection in
        var check = check
        let rows = try connection.rows(
          "SELECT * FROM audit WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3", after, end,
          Self.readAtOnce)
        for row in rows { check.take(AuditRecord(tampered: row)) }
        return (check, try rows.last?.int64("number"))
      }
    }
    check.finish(head, added: added)
    return check
  }

  // MARK: - SQL

  private static func head(_ connection: ReadConnection) throws -> AuditHead? {
    try connection.first("SELECT number, hash FROM audit_head").map {
      AuditHead(number: try $0.int64("number"), hash: try $0.blob("hash"))
    }
  }

  private static func newest(_ connection: ReadConnection) throws -> AuditHead? {
    try connection.first("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").map {
      AuditHead(number: try $0.int64("number"), hash: try $0.blob("hash"))
    }
  }

  /// How many events were stored since there is a log, each of them an entry; nil if that was taken away.
  private static func added(_ connection: ReadConnection) throws -> Int64? {
    try connection.first(
      "SELECT n.position - s.position AS added FROM newest_position n, audit_start s WHERE n.id = 1 AND s.id = 1"
    )?.int64("added")
  }

  private static let moveHead =
    "INSERT INTO audit_head (id, number, hash) VALUES (1, $1, $2) "
    + "ON CONFLICT (id) DO UPDATE SET number = excluded.number, hash = excluded.hash"

  /// The statements that add 1, 2, 3 … entries.
  private static let insertions = (1...addedAtOnce).map { count in
    let rows = (0..<count).map { row in "(" + (1...5).map { "$\(row * 5 + $0)" }.joined(separator: ", ") + ")" }
    return "INSERT INTO audit (number, mission_id, actor, event, hash) VALUES " + rows.joined(separator: ", ")
  }

  private static func query(mission: String, actor: String) -> (sql: String, arguments: [String]) {
    var (conditions, arguments) = ([String](), [String]())
    if !mission.isEmpty {
      arguments.append(mission)
      conditions.append(" AND a.mission_id = $\(arguments.count + 3)")
    }
    if !actor.isEmpty {
      arguments.append(String(actor.prefix(ProgressEvent.longestAuditActor)))
      conditions.append(" AND a.actor = $\(arguments.count + 3)")
      // Said as in the index, which is not used else.
      if actor != "buddy" { conditions.append(" AND a.actor <> 'buddy'") }
    }
    let sql =
      "SELECT a.*, p.hash AS previous FROM audit a LEFT JOIN audit p ON p.number = a.number - 1 "
      + "WHERE a.number > $1 AND a.number <= $2" + conditions.joined() + " ORDER BY a.number LIMIT $3"
    return (sql, arguments)
  }
}

extension AuditRecord: RowDecodable {
  init(row: Row) throws {
    self.init(
      number: try row.int64("number"), missionID: try row.text("mission_id"), actor: try row.text("actor"),
      event: try row.blob("event"), hash: try row.blob("hash"))
  }

  /// What is not even of its column's type is as good as changed.
  fileprivate init(tampered row: Row) {
    self.init(
      number: (try? row.int64("number")) ?? 0, missionID: (try? row.text("mission_id")) ?? "",
      actor: (try? row.text("actor")) ?? "", event: (try? row.blob("event")) ?? [], hash: (try? row.blob("hash")) ?? [])
  }

  fileprivate var arguments: [any ValueConvertible] { [number, missionID, actor, event, hash] }
}
