import Logging
import Messages
import NIOCore
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import ProgressService

/// Followers of one process and events of another, on one database.
@Suite(.timeLimit(.minutes(1))) struct EventNewsTests {
  private func events(_ range: ClosedRange<UInt64>, of mission: String = "m") -> [ProgressEvent] {
    range.map { ProgressEvent(missionId: mission, sequence: $0, type: .stepProgress, state: .running) }
  }

  /// What a watcher sees until it has seen `count` events.
  private func follow(_ mission: String, in log: EventLog, count: Int) async throws -> [UInt64] {
    try await log.hub.following(mission) { follower in
      var seen: [UInt64] = []
      while seen.count < count {
        let piece = try await log.read(mission, after: seen.last ?? 0, limit: 7)
        seen += piece.events.map(\.sequence)
        if piece.events.isEmpty { await follower.wait(after: seen.last ?? 0) }
      }
      return seen
    }
  }

  /// Two processes' logs; the first one's news run while `body` does.
  private func withTwo(
    pollInterval: Duration, _ body: (_ here: EventLog, _ there: EventLog) async throws -> Void
  ) async throws {
    let store = try await TestStore(.postgres)
    let here = EventLog(database: try await store.open(migrations), hub: EventHub())
    let there = EventLog(database: try await store.open(migrations), hub: EventHub())
    let news = EventNews(log: here, logger: Logger(label: "test"), pollInterval: pollInterval)
    let running = Task { await news.run() }
    try await body(here, there)
    await there.database.close()
    await here.database.close()
    // Ends with its database.
    await running.value
  }

  @Test func whatAnotherProcessRecordsIsSeenInOrder() async throws {
    // No poll helps: it is the announcement that wakes.
    try await withTwo(pollInterval: .seconds(3_600)) { here, there in
      try await withThrowingTaskGroup(of: [UInt64].self) { group in
        for mission in ["m", "m", "n"] { group.addTask { try await follow(mission, in: here, count: 100) } }
        for sequence in UInt64(1)...100 {
          _ = try await there.record(events(sequence...sequence) + events(sequence...sequence, of: "n"))
        }
        for try await seen in group { #expect(seen == Array(1...100)) }
      }
    }
  }

  @Test func whatBothRecordIsSeenByBoth() async throws {
    try await withTwo(pollInterval: .seconds(3_600)) { here, there in
      let news = EventNews(log: there, logger: Logger(label: "test"), pollInterval: .seconds(3_600))
      let running = Task { await news.run() }
      try await withThrowingTaskGroup(of: [UInt64].self) { group in
        for log in [here, there] { group.addTask { try await follow("m", in: log, count: 60) } }
        for sequence in UInt64(1)...60 {
          _ = try await (sequence % 2 == 0 ? here : there).record(events(sequence...sequence))
        }
        for try await seen in group { #expect(seen == Array(1...60)) }
      }
      running.cancel()
      await running.value
    }
  }

  @Test func whatWasNotAnnouncedIsFoundByLooking() async throws {
    try await withTwo(pollInterval: .milliseconds(10)) { here, there in
      async let seen = follow("m", in: here, count: 2)
      try await eventually("somebody follows") { here.hub.followers == 1 }
      for sequence in UInt64(1)...2 {
        try await there.database.write { connection in
          var bytes = ByteBuffer()
          try events(sequence...sequence)[0].encode(into: &bytes)
          try connection.execute(
            "INSERT INTO missions (mission_id, last_sequence) VALUES ('m', $1) "
              + "ON CONFLICT (mission_id) DO UPDATE SET last_sequence = $1", Int64(sequence))
          try connection.execute(
            "INSERT INTO events (position, mission_id, sequence, event) VALUES ($1, 'm', $1, $2)", Int64(sequence),
            Array(bytes.readableBytesView))
          try connection.execute("UPDATE newest_position SET position = $1", Int64(sequence))
        }
      }
      #expect(try await seen == [1, 2])
    }
  }

  /// More than are looked up in one statement.
  @Test(arguments: TestEngine.allCases) func allThatIsFollowedIsLookedUp(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    let stored = EventLog(database: log.database, hub: EventHub())
    let missions = (0..<150).map { "m\($0)" }
    try await withThrowingTaskGroup(of: [UInt64].self) { group in
      for mission in missions { group.addTask { try await follow(mission, in: log, count: 1) } }
      try await eventually("all follow") { log.hub.followers == missions.count }
      _ = try await stored.record(missions.flatMap { events(1...1, of: $0) })
      try await log.announceStored()
      for try await seen in group { #expect(seen == [1]) }
    }
    await log.database.close()
  }

  @Test func aFileHasNoNewsOfOthers() async throws {
    let store = try await TestStore(.sqlite)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    await EventNews(log: log, logger: Logger(label: "test")).run()
    await log.database.close()
  }

  @Test func whatIsKnownEndsNoWait() async {
    let hub = EventHub()
    await hub.following("m") { follower in
      await withTaskGroup(of: UInt64.self) { group in
        for known in UInt64(4)...5 {
          group.addTask {
            await follower.wait(after: known)
            return known
          }
        }
        for _ in 0..<3 { hub.announce("m", upTo: 5) }
        #expect(await group.next() == 4)
        hub.announce("m", upTo: 6)
        #expect(await group.next() == 5)
      }
    }
  }
}
