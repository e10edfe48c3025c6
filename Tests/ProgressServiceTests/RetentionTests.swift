import Foundation
import Logging
import Messages
import RPC
import ServiceKit
import ServiceTestSupport
import Storage
import Stubs
import TestSupport
import Testing

@testable import ProgressService

/// What is deleted, and what is left of it.
@Suite(.timeLimit(.minutes(2))) struct RetentionTests {
  private let soon = Date(timeIntervalSinceNow: 3_600)

  /// Nothing in memory, so that what is deleted is gone.
  private let none = RecentEvents.Limits(count: 1)

  private func prune(_ service: ServedLog, endedBefore time: Date) async throws -> Int {
    try await service.log.database.write { [log = service.log] in try log.pruneEnded(before: time, limit: 500, $0) }
  }

  private func pruneLong(_ service: ServedLog, limit: Int = 500) async throws -> Int {
    try await service.log.database.write { [log = service.log] in try log.pruneLong(limit: limit, $0) }
  }

  private func isOutOfRange(_ error: any Error) -> Bool { (error as? Status)?.code == .outOfRange }

  @Test(arguments: TestEngine.allCases) func whereAnEndedMissionStandsOutlivesItsEvents(
    _ engine: TestEngine
  ) async throws {
    try await ServedLog.with(engine, recent: none) { served in
      let service = served[0]
      let start = Date().timeIntervalSince1970
      try await service.record(
        [Events.state(.running, 1, at: start - 9, facts: MissionFacts(owner: "ann"))] + Events.progress(2...9)
          + [Events.state(.succeeded, 10, at: start)])
      try await service.record(Events.progress(1...5, of: "runs"))
      let before = try await service.client.snapshot(SnapshotRequest(missionId: "m"))
      #expect(before.firstSequence == 1)
      #expect(try await prune(service, endedBefore: Date(timeIntervalSinceNow: -60)) == 0, "it ended just now")
      #expect(try await prune(service, endedBefore: soon) == 10)
      #expect(try await prune(service, endedBefore: soon) == 0)
      var after = try await service.client.snapshot(SnapshotRequest(missionId: "m"))
      #expect(after.firstSequence == 0)
      after.firstSequence = 1
      #expect(after == before)
      #expect(try await service.log.read("runs", after: 0, limit: 10).events.count == 5)
      await #expect(performing: { _ = try await service.watch("m") }, throws: isOutOfRange)
      await #expect(performing: { _ = try await service.watch("m", after: 9) }, throws: isOutOfRange)
      await #expect(
        performing: { _ = try await service.client.list(ListEventsRequest(missionId: "m", afterSequence: 4)) },
        throws: isOutOfRange)
      #expect(try await service.watch("m", after: 10).isEmpty)
      #expect(try await service.client.list(ListEventsRequest(missionId: "m", afterSequence: 10)).complete)
    }
  }

  @Test(arguments: TestEngine.allCases) func ofALongMissionTheNewestAreKept(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine, recent: none, eventsPerMission: 100) { served in
      let service = served[0]
      try await service.record([Events.state(.running, 1, at: 1_000)] + Events.progress(2...100))
      #expect(try await pruneLong(service) == 0)
      try await service.record(Events.progress(101...250))
      #expect(try await pruneLong(service, limit: 90) == 90, "no more than one write may")
      #expect(try await pruneLong(service, limit: 90) == 60)
      #expect(try await pruneLong(service, limit: 90) == 0)
      #expect(try await service.log.read("m", after: 150, limit: 500).events.map(\.sequence) == Array(151...250))
      await #expect(performing: { _ = try await service.watch("m", after: 149, count: 1) }, throws: isOutOfRange)
      #expect(try await service.watch("m", after: 150, count: 100).map(\.sequence) == Array(151...250))
      let snapshot = try await service.client.snapshot(SnapshotRequest(missionId: "m"))
      #expect(snapshot.firstSequence == 151)
      #expect(snapshot.lastSequence == 250)
      #expect(snapshot.startedAt == GoogleProtobufTimestamp(seconds: 1_000))
      #expect(try await service.log.read(after: 0, limit: 500).events.map(\.position) == Array(151...250))
    }
  }

  /// A watcher that was further behind than what is kept is told so, and goes on.
  @Test(arguments: TestEngine.allCases) func aWatcherIsToldWhatItMissed(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine, recent: none, eventsPerMission: 100) { served in
      let service = served[0]
      let text = String(repeating: "x", count: 8_000)
      try await service.record(
        Events.progress(1...1_000).map {
          var event = $0
          event.message = text
          return event
        })
      // It reads one event and then nothing while all but the newest are deleted.
      var iterator = try await service.client.watch(WatchEventsRequest(missionId: "m")).makeAsyncIterator()
      #expect(try await iterator.next()?.sequence == 1)
      while try await pruneLong(service) > 0 {}
      try await service.record([Events.state(.succeeded, 1_001)])
      var (last, gaps) = (UInt64(1), 0)
      while let event = try await iterator.next() {
        if event.type == .gap {
          gaps += 1
          #expect(event.sequence == 900)
        } else {
          #expect(event.sequence == last + 1)
        }
        last = event.sequence
      }
      #expect(last == 1_001)
      #expect(gaps == 1)
    }
  }

  /// Watchers who break off and resume while events are deleted: whatever is missing was said to be.
  @Test(arguments: TestEngine.allCases) func nothingIsMissingUnsaid(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let count = UInt64(1_500)
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 10), eventsPerMission: 100) { served in
      let service = served[0]
      try await service.record(Events.progress(1...1))
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<6 {
          let stop = Int.random(in: 1...200, using: &random)
          group.addTask { try await Self.follow(service, until: count, stop: stop) }
        }
        var next = UInt64(2)
        while next <= count {
          let last = min(count, next + UInt64.random(in: 0...40, using: &random))
          var events = Events.progress(next...last)
          for index in events.indices { events[index].message = String(repeating: "x", count: 3_000) }
          if last == count { events[events.count - 1] = Events.state(.succeeded, last) }
          try await service.record(events)
          if Int.random(in: 0..<3, using: &random) == 0 {
            _ = try await pruneLong(service, limit: Int.random(in: 1...300, using: &random))
          }
          next = last + 1
        }
        try await group.waitForAll()
      }
    }
  }

  private static func follow(_ service: ServedLog, until count: UInt64, stop: Int) async throws {
    var last: UInt64 = 0
    while last < count {
      do {
        for event in try await service.watch("m", after: last, count: stop) {
          #expect(event.sequence == last + 1 || (event.type == .gap && event.sequence > last))
          last = event.sequence
        }
      } catch let status as Status where status.code == .outOfRange {
        let snapshot = try await service.client.snapshot(SnapshotRequest(missionId: "m"))
        #expect(snapshot.firstSequence > last + 1)
        last = snapshot.firstSequence - 1
      }
    }
    #expect(last == count)
  }

  /// Random events, deletions and snapshots: where a mission stands is always what all of its events say.
  @Test(arguments: TestEngine.allCases) func snapshotsDoNotDependOnWhatIsKept(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    try await ServedLog.with(engine, recent: none, eventsPerMission: 120) { served in
      let service = served[0]
      var all: [ProgressEvent] = []
      for _ in 0..<25 {
        let size = Int.random(in: 1...60, using: &random)
        let events = (0..<size).map { index in
          let sequence = UInt64(all.count + index + 1)
          var event =
            Int.random(in: 0..<4, using: &random) == 0
            ? Events.state([.running, .paused, .awaitingInput].randomElement(using: &random) ?? .running, sequence)
            : Events.progress(
              sequence...sequence, step: Bool.random(using: &random) ? .intent : .execution)[0]
          event.time = GoogleProtobufTimestamp(seconds: Int64(sequence) * 7)
          event.message = "message \(sequence)"
          return event
        }
        all += events
        try await service.record(events)
        if Bool.random(using: &random) {
          _ = try await pruneLong(service, limit: Int.random(in: 1...80, using: &random))
        }
        if Bool.random(using: &random) {
          let now = Date(timeIntervalSince1970: 1_000_000)
          var snapshot = try #require(try await service.log.snapshot("m", at: now))
          snapshot.firstSequence = 0
          // The time left is the history's.
          (snapshot.eta, snapshot.etaP90, snapshot.etaBasis) = (nil, nil, "")
          #expect(snapshot == ProgressSnapshot(missionID: "m", events: all, now: now))
        }
      }
    }
  }

  /// The newest position stays although its event is deleted: no later one gets the same.
  @Test(arguments: TestEngine.allCases) func positionsNeverFall(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine, recent: none) { served in
      let service = served[0]
      let long = Date(timeIntervalSinceNow: -86_400).timeIntervalSince1970
      try await service.record([Events.state(.running, 1, at: long), Events.state(.succeeded, 2, at: long)])
      #expect(try await prune(service, endedBefore: soon) == 2)
      #expect(try await service.client.listAll(ListAllEventsRequest()).position == 2)
      try await service.record(Events.progress(1...1, of: "n"))
      #expect(try await service.log.read(after: 0, limit: 10).events.map(\.position) == [3])
    }
  }

  /// A database from before there were positions: its events get some, and ended missions are kept as long as others.
  @Test(arguments: TestEngine.allCases) func earlierDatabasesAreTakenOver(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let earlier = try await store.open(Array(migrations.prefix(2)))
    let now = Date().timeIntervalSince1970
    let old = now - 40 * 86_400
    try await earlier.write { connection in
      for (mission, end) in [("old", old), ("recent", now)] {
        try connection.execute(
          "INSERT INTO missions (mission_id, last_sequence, complete) VALUES ($1, 3, 1)", mission)
        let events = [
          Events.state(.running, 1, of: mission, at: end - 5), Events.progress(2...2, of: mission)[0],
          Events.state(.succeeded, 3, of: mission, at: end),
        ]
        for event in events {
          try connection.execute(
            "INSERT INTO events (mission_id, sequence, event) VALUES ($1, $2, $3)", mission, event.sequence,
            try event.bytes())
        }
      }
    }
    await earlier.close()
    let service = try await ServedLog.start(on: store)
    #expect(try await service.log.read(after: 0, limit: 10).events.map(\.position) == Array(1...6))
    #expect(try await service.watch("old").map(\.sequence) == [1, 2, 3])
    #expect(try await service.client.snapshot(SnapshotRequest(missionId: "recent")).state == .succeeded)
    let monthAgo = Date(timeIntervalSinceNow: -30 * 86_400)
    while try await prune(service, endedBefore: monthAgo) > 0 {}
    #expect(try await service.log.read("old", after: 0, limit: 10).events.isEmpty)
    #expect(try await service.watch("recent").map(\.sequence) == [1, 2, 3])
    try await service.record(Events.progress(1...1))
    #expect(try await service.log.read(after: 6, limit: 10).events.map(\.position) == [7])
    await service.stop()
    withExtendedLifetime(store) {}
  }

  /// By the pruner itself, which goes on until nothing is left to do.
  @Test(arguments: TestEngine.allCases) func thePrunerDeletesAll(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine, recent: none) { served in
      let log = served[0].log
      for mission in 0..<30 {
        _ = try await log.record(
          Events.progress(1...19, of: "m\(mission)") + [Events.state(.failed, 20, of: "m\(mission)", at: 1_000)])
      }
      let pruner = Pruner(
        "events", log.database, retention: .zero, batch: 50, logger: Logger(label: "test"), prune: log.pruneEnded)
      let running = Task { await pruner.run() }
      try await eventually("all are deleted") { try await log.read(after: 0, limit: 1).events.isEmpty }
      running.cancel()
      await running.value
    }
  }
}
