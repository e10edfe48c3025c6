import Foundation
import Messages
import NIOCore
import RPC
import Storage

/// The numbered events of every mission, and the news of them.
struct EventLog: Sendable {
  let database: Database
  let hub: EventHub
  let history: DurationHistory
  let audit: AuditLog

  init(database: Database, hub: EventHub) {
    self.database = database
    self.hub = hub
    history = DurationHistory(database: database)
    audit = AuditLog(database: database)
  }

  /// A piece of one mission's log.
  struct Piece: Sendable {
    var events: [ProgressEvent]
    /// The mission's last stored sequence; nil if no event of it is stored.
    var last: UInt64?
    /// True if no event will come after `last`.
    var isComplete: Bool
  }

  /// Stores events that are new and passes over those already stored.
  ///
  /// Returns how many were new. Throws `Status` FAILED_PRECONDITION, storing nothing, if an event would leave a gap.
  func record(_ events: [ProgressEvent]) async throws -> Int {
    try await database.write { connection in try append(events, connection) }
  }

  /// Stores an event in the closure's transaction, or passes over it, and announces it after the commit. Throws as
  /// `record` does.
  func append(_ event: ProgressEvent, _ connection: WriteConnection) throws { _ = try append([event], connection) }

  /// Up to `limit` events after `sequence`, oldest first.
  func read(_ missionID: String, after sequence: UInt64, limit: Int) async throws -> Piece {
    try await database.read { connection in
      guard let mission = try connection.first("SELECT * FROM missions WHERE mission_id = $1", missionID) else {
        return Piece(events: [], last: nil, isComplete: false)
      }
      let rows = try connection.rows(
        "SELECT event FROM events WHERE mission_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        missionID, Int64(clamping: sequence), limit)
      return Piece(
        events: try rows.map { try ProgressEvent(wire: ByteBuffer(bytes: try $0.blob("event"))) },
        last: UInt64(try mission.int64("last_sequence")), isComplete: try mission.bool("complete"))
    }
  }

  /// Announces what is stored of the missions that are followed here, whoever stored it.
  func announceStored() async throws {
    var rest = hub.followed[...]
    while let last = rest.last {
      // Always as many, so that there is one statement to prepare.
      let some = rest.prefix(Self.followedAtOnce)
      let missions = Array(some) + Array(repeating: last, count: Self.followedAtOnce - some.count)
      let stored = try await database.read { connection in
        try connection.rows(Self.lastSequences, arguments: missions).map {
          (mission: try $0.text("mission_id"), last: UInt64(try $0.int64("last_sequence")))
        }
      }
      for (mission, last) in stored { hub.announce(mission, upTo: last) }
      rest = rest.dropFirst(Self.followedAtOnce)
    }
  }

  /// How many missions are looked up in one statement.
  private static let followedAtOnce = 64
  private static let lastSequences =
    "SELECT mission_id, last_sequence FROM missions WHERE mission_id IN ("
    + (1...followedAtOnce).map { "$\($0)" }.joined(separator: ", ") + ")"

  /// Returns how many were new.
  private func append(_ events: [ProgressEvent], _ connection: WriteConnection) throws -> Int {
    var count = 0
    for (mission, events) in Dictionary(grouping: events, by: \.missionId) {
      let known = try connection.first("SELECT last_sequence FROM missions WHERE mission_id = $1", mission)
      let before = UInt64(try known?.int64("last_sequence") ?? 0)
      var last = before
      if known == nil {
        try connection.execute("INSERT INTO missions (mission_id, last_sequence) VALUES ($1, 0)", mission)
      }
      for event in events where event.sequence > last {
        guard event.sequence == last + 1 else {
          throw Status(
            .failedPrecondition, "event \(event.sequence) of mission \(mission) would leave a gap after \(last)")
        }
        var bytes = ByteBuffer()
        try event.encode(into: &bytes)
        try connection.execute(
          "INSERT INTO events (mission_id, sequence, event) VALUES ($1, $2, $3)",
          mission, Int64(event.sequence), Array(bytes.readableBytesView))
        last = event.sequence
      }
      guard last > before else { continue }
      try connection.execute(
        "UPDATE missions SET last_sequence = $2, complete = $3 WHERE mission_id = $1",
        mission, Int64(last), events.contains(where: \.isLast))
      count += Int(last - before)
      let new = events.filter { $0.sequence > before }
      try history.took(new, of: mission, nil, connection)
      try audit.append(new, connection)
      connection.afterCommit { [hub, last] in hub.announce(mission, upTo: last) }
    }
    // Followers in other processes cannot have heard that.
    if count > 0, !database.isExclusive { connection.notify(EventNews.topic) }
    return count
  }
}
