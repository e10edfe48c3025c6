import Foundation
import Messages
import RPC
import Storage

extension EventLog {
  /// What a transaction adds to one mission's log.
  private struct Addition {
    let mission: String
    let isNew: Bool
    let first: Int64
    var last: UInt64
    var facts: SharedFacts
    /// Set if they change.
    var newFacts: MissionFacts?
    var events: [ProgressEvent] = []

    init(_ mission: String, _ connection: WriteConnection) throws {
      let known = try connection.first(
        "SELECT last_sequence, first_sequence, facts FROM missions WHERE mission_id = $1", mission)
      self.mission = mission
      isNew = known == nil
      first = try known?.int64("first_sequence") ?? 1
      last = UInt64(try known?.int64("last_sequence") ?? 0)
      facts = SharedFacts(stored: try known?.blobOrNil("facts"))
    }

    /// Passes over an event that is stored. Throws `Status` FAILED_PRECONDITION for one that leaves a gap.
    mutating func add(_ event: ProgressEvent) throws {
      guard event.sequence > last else { return }
      guard event.sequence == last + 1 else {
        throw Status(
          .failedPrecondition, "event \(event.sequence) of mission \(mission) would leave a gap after \(last)")
      }
      last = event.sequence
      events.append(event)
    }
  }

  /// Stores events that are new in the closure's transaction, and announces them after the commit. Throws as `record`
  /// does.
  ///
  /// Returns how many were new.
  @discardableResult
  func append(_ events: [ProgressEvent], _ connection: WriteConnection) throws -> Int {
    var additions: [Addition] = []
    for event in events {
      var index = additions.firstIndex { $0.mission == event.missionId }
      if index == nil {
        index = additions.count
        additions.append(try Addition(event.missionId, connection))
      }
      if let index { try additions[index].add(event) }
    }
    let count = additions.reduce(0) { $0 + $1.events.count }
    guard count > 0 else { return 0 }
    var position = try Self.takePositions(count, connection)
    var stored: [StoredEvent] = []
    for addition in additions where !addition.events.isEmpty {
      stored += try store(addition, after: position, connection)
      position += UInt64(addition.events.count)
    }
    try audit.append(stored.map(\.event), wire: stored.map(\.bytes), connection)
    connection.afterCommit { [stored] in announce(committed: stored) }
    // Followers in other processes cannot have heard that.
    if !database.isExclusive { connection.notify(EventNews.topic) }
    return count
  }

  /// Gives the position before the first of `count` new ones. Writers come one after the other, in other processes too,
  /// so whoever reads sees positions in their order and without holes.
  private static func takePositions(_ count: Int, _ connection: WriteConnection) throws -> UInt64 {
    let row = try connection.first(
      "UPDATE newest_position SET position = position + $1 WHERE id = 1 RETURNING position", count)
    guard let row else { throw Status(.internalError, "the table of the newest position is empty") }
    return UInt64(try row.int64("position")) - UInt64(count)
  }

  private func store(
    _ addition: Addition, after position: UInt64, _ connection: WriteConnection
  ) throws -> [StoredEvent] {
    var addition = addition
    let stored = try addition.events.enumerated().map { index, event in
      if let facts = event.facts {
        addition.newFacts = facts
        addition.facts = SharedFacts(facts)
      }
      return StoredEvent(
        position: position + UInt64(index) + 1, event: event, bytes: try event.bytes(), facts: addition.facts)
    }
    try Self.insert(stored, connection)
    try update(addition, connection)
    try history.took(addition.events, of: addition.mission, addition.facts.value, connection)
    return stored
  }

  private static func insert(_ events: [StoredEvent], _ connection: WriteConnection) throws {
    var rest = events[...]
    while !rest.isEmpty {
      let some = rest.prefix(rowsAtOnce)
      let arguments = some.flatMap { event -> [any ValueConvertible] in
        [event.position, event.event.missionId, event.sequence, event.bytes]
      }
      try connection.execute(insertions[some.count - 1], arguments: arguments)
      rest = rest.dropFirst(some.count)
    }
  }

  /// How many events one statement stores at the most: a change of a mission rarely has more.
  private static let rowsAtOnce = 8
  /// For one row, two rows …
  private static let insertions = (1...rowsAtOnce).map { count in
    "INSERT INTO events (position, mission_id, sequence, event) VALUES "
      + (0..<count).map { "($\($0 * 4 + 1), $\($0 * 4 + 2), $\($0 * 4 + 3), $\($0 * 4 + 4))" }.joined(separator: ", ")
  }

  private func update(_ addition: Addition, _ connection: WriteConnection) throws {
    let isLast = addition.events.contains(where: \.isLast)
    let isLong = Int64(addition.last) - addition.first >= eventsPerMission
    let ended = isLast ? Date() : nil
    if addition.isNew {
      try connection.execute(
        """
        INSERT INTO missions (mission_id, last_sequence, complete, is_long, ended_us, facts)
        VALUES ($1, $2, $3, $4, $5, $6)
        """, addition.mission, addition.last, isLast, isLong, ended, try addition.newFacts?.bytes())
      return
    }
    try connection.execute(
      "UPDATE missions SET last_sequence = $2, is_long = $3 WHERE mission_id = $1",
      addition.mission, addition.last, isLong)
    if isLast {
      try connection.execute(
        "UPDATE missions SET complete = 1, ended_us = $2 WHERE mission_id = $1", addition.mission, ended)
    }
    if let facts = try addition.newFacts?.bytes() {
      try connection.execute("UPDATE missions SET facts = $2 WHERE mission_id = $1", addition.mission, facts)
    }
  }
}
