import Foundation
import Messages
import NIOCore
import RPC
import Storage

/// The numbered events of every mission, and the news of them.
struct EventLog: Sendable {
  let database: Database
  let hub: EventHub
  /// What was stored last: most watchers need no more.
  var recent = RecentEvents()
  /// How many events of one mission are kept at the most, or nearly so: it is looked at from time to time.
  var eventsPerMission = 10_000
  /// How long missions took, for the time left.
  let history: DurationHistory
  let audit: AuditLog

  init(
    database: Database, hub: EventHub, recent: RecentEvents = RecentEvents(), eventsPerMission: Int = 10_000
  ) {
    self.database = database
    self.hub = hub
    self.recent = recent
    self.eventsPerMission = eventsPerMission
    history = DurationHistory(database: database)
    audit = AuditLog(database: database)
  }

  /// Stores events that are new and passes over those already stored.
  ///
  /// Returns how many were new. Throws `Status` FAILED_PRECONDITION, storing nothing, if an event would leave a gap.
  func record(_ events: [ProgressEvent]) async throws -> Int {
    try await database.write { connection in try append(events, connection) }
  }

  // MARK: - One mission

  /// A piece of one mission's log.
  struct Piece: Sendable {
    /// In the order of their sequences, without a gap.
    var events: [StoredEvent]
    /// The mission's last stored sequence; nil if no event of it was ever stored.
    var last: UInt64?
    /// True if no event will come after `last`.
    var isComplete: Bool
    /// Where events are missing in front of these because they are not kept any more: the last of those.
    var prunedThrough: UInt64?
  }

  /// Up to `limit` events after `sequence`, oldest first.
  func read(_ missionID: String, after sequence: UInt64, limit: Int) async throws -> Piece {
    // Where nothing is known of the sequence here, another process may have stored it.
    if let (events, newest) = recent.events(of: missionID, after: sequence, limit: limit),
      sequence <= newest.sequence
    {
      return Piece(events: events, last: newest.sequence, isComplete: newest.isLast)
    }
    return try await database.read { connection in
      let mission = try connection.first(
        "SELECT last_sequence, first_sequence, complete, facts FROM missions WHERE mission_id = $1", missionID)
      guard let mission else { return Piece(events: [], last: nil, isComplete: false) }
      let last = UInt64(try mission.int64("last_sequence"))
      let pruned = UInt64(try mission.int64("first_sequence")) - 1
      let facts = SharedFacts(stored: try mission.blobOrNil("facts"))
      let rows = sequence >= last ? [] : try connection.rows(
        "SELECT position, event FROM events WHERE mission_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        missionID, Int64(clamping: sequence), limit)
      return Piece(
        events: try rows.map { try StoredEvent(row: $0, facts) }, last: last,
        isComplete: try mission.bool("complete"), prunedThrough: pruned > sequence ? pruned : nil)
    }
  }

  // MARK: - All missions

  /// A piece of the log of all missions.
  struct Stretch: Sendable {
    /// In the order of their positions.
    var events: [StoredEvent]
    /// There are no other events up to this position.
    var through: UInt64
    /// Where some of those after the position asked for are not kept any more: the position of the last such event.
    /// What is kept lies before it and after it.
    var prunedThrough: UInt64?
  }

  /// Up to `limit` events after a position, oldest first.
  func read(after position: UInt64, limit: Int) async throws -> Stretch {
    if let events = recent.events(after: position, limit: limit) {
      return Stretch(events: events, through: events.last?.position ?? position)
    }
    return try await database.read { connection in
      let events = try Self.events(after: position, limit: limit, connection)
      // Where there are fewer, no more are kept, although the newest ones may have been pruned.
      let through = try events.count < limit ? Self.newestPosition(connection) : events.last?.position
      let pruned = try Self.prunedPosition(connection)
      return Stretch(
        events: events, through: max(position, through ?? position),
        prunedThrough: pruned > position ? pruned : nil)
    }
  }

  static func events(after position: UInt64, limit: Int, _ connection: ReadConnection) throws -> [StoredEvent] {
    try connection.rows(
      """
      SELECT e.position, e.event, m.facts FROM events e JOIN missions m ON m.mission_id = e.mission_id
      WHERE e.position > $1 ORDER BY e.position LIMIT $2
      """, Int64(clamping: position), limit
    ).map { try StoredEvent(row: $0, SharedFacts(stored: try $0.blobOrNil("facts"))) }
  }

  /// The position of the event stored last; 0 before any.
  func newestPosition() async throws -> UInt64 {
    try await database.read { try Self.newestPosition($0) }
  }

  static func newestPosition(_ connection: ReadConnection) throws -> UInt64 {
    UInt64(try connection.first("SELECT position FROM newest_position WHERE id = 1")?.int64("position") ?? 0)
  }

  /// The highest position of an event that was pruned; 0 before any.
  private static func prunedPosition(_ connection: ReadConnection) throws -> UInt64 {
    let row = try connection.first("SELECT pruned_position FROM newest_position WHERE id = 1")
    return UInt64(try row?.int64("pruned_position") ?? 0)
  }
}

extension StoredEvent {
  fileprivate convenience init(row: Row, _ facts: SharedFacts) throws {
    try self.init(position: UInt64(try row.int64("position")), bytes: try row.blob("event"), facts: facts)
  }
}
