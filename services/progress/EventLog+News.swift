import Messages
import Storage

extension EventLog {
  /// Keeps what this process has committed for those who watch, and wakes them. On the writer's thread.
  func announce(committed events: [StoredEvent]) {
    // Else it waits until those of other processes that lie before are read; they have announced them.
    if recent.take(committed: events, isAlone: database.isExclusive) { announce(events) }
  }

  private func announce(_ events: [StoredEvent]) {
    guard let last = events.last else { return }
    for (event, next) in zip(events, events.dropFirst()) where event.event.missionId != next.event.missionId {
      hub.announce(event.event.missionId, upTo: event.sequence)
    }
    hub.announce(last.event.missionId, upTo: last.sequence)
    hub.announce(EventHub.allMissions, upTo: last.position)
  }

  /// Reads what other processes have stored, once for all who watch here, and announces it.
  func announceStored() async throws {
    let newest = try await newestPosition()
    guard hub.followers > 0, let known = recent.newest, newest <= known + UInt64(recent.limits.count) else {
      // Too much to be read, or nobody to read it for: what is stored from now on counts.
      recent.restart(at: newest)
      return try await announceFollowed(newest)
    }
    while let after = recent.newest, after < newest {
      let events = try await database.read { try Self.events(after: after, limit: Self.newsAtOnce, $0) }
      recent.take(read: events, after: after)
      announce(events)
      if events.count < Self.newsAtOnce { break }
    }
    // What was pruned already is not among them.
    recent.restart(at: newest)
    hub.announce(EventHub.allMissions, upTo: newest)
  }

  /// How many events of other processes are read at a time.
  private static let newsAtOnce = 512

  /// Announces what is stored of the missions that are followed here, whoever stored it.
  private func announceFollowed(_ position: UInt64) async throws {
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
    hub.announce(EventHub.allMissions, upTo: position)
  }

  /// How many missions are looked up in one statement.
  private static let followedAtOnce = 64
  private static let lastSequences =
    "SELECT mission_id, last_sequence FROM missions WHERE mission_id IN ("
    + (1...followedAtOnce).map { "$\($0)" }.joined(separator: ", ") + ")"
}
