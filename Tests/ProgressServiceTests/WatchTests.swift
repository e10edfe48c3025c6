import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import TestSupport
import Testing

@testable import ProgressService

/// One mission's events on the wire.
@Suite(.timeLimit(.minutes(2))) struct WatchTests {
  @Test(arguments: TestEngine.allCases) func itReplaysGoesOnLiveAndEnds(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let service = served[0]
      try await service.record(Events.progress(1...3))
      async let seen = service.watch("m", after: 1)
      try await eventually("it watches") { service.log.hub.followers == 1 }
      try await service.record(Events.progress(4...4))
      try await service.record([Events.state(.succeeded, 5)])
      #expect(try await seen.map(\.sequence) == [2, 3, 4, 5])
      #expect(try await service.watch("m", after: 5).isEmpty, "nothing comes after the last")
    }
  }

  @Test(arguments: TestEngine.allCases) func anUnknownMissionIsNotFound(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      await #expect { _ = try await served[0].watch("none") } throws: { ($0 as? Status)?.code == .notFound }
      await #expect {
        _ = try await served[0].client.list(ListEventsRequest(missionId: "none"))
      } throws: { ($0 as? Status)?.code == .notFound }
    }
  }

  /// What is recorded is what comes, whether from memory or from the log.
  @Test(arguments: TestEngine.allCases) func eventsComeAsTheyWereRecorded(_ engine: TestEngine) async throws {
    let facts = MissionFacts(owner: "ann", labels: ["a": "b"], tool: "calculate")
    var event = Events.progress(1...1, facts: facts)[0]
    event.message = "first"
    event.time = GoogleProtobufTimestamp(seconds: 1_700_000_000, nanos: 5)
    event.change = MissionChange(command: .pause, requestId: "r", staleSteps: [.execution])
    let events = [event, Events.state(.failed, 2)]
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 1)) { served in
      try await served[0].record(events)
      #expect(try await served[0].watch("m") == events, "the first is only in the log")
      #expect(try await served[0].watch("m", after: 1) == [events[1]])
      #expect(try await served[0].client.list(ListEventsRequest(missionId: "m")).events == events)
    }
  }

  /// Watchers who resume anywhere, with little kept in memory, see the rest of each mission once, in order.
  @Test(arguments: TestEngine.allCases) func everyResumptionSeesTheRest(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let count = UInt64(150)
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 20)) { served in
      let service = served[0]
      try await service.record(["m", "n", "o"].flatMap { Events.progress(1...1, of: $0) })
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<24 {
          let mission = ["m", "n", "o"][index % 3]
          let stops = (0..<3).map { _ in Int.random(in: 1...60, using: &random) }
          group.addTask {
            var seen: [UInt64] = []
            for stop in stops {
              seen += try await service.watch(mission, after: seen.last ?? 0, count: stop).map(\.sequence)
            }
            seen += try await service.watch(mission, after: seen.last ?? 0).map(\.sequence)
            #expect(seen == Array(1...count))
          }
        }
        var next: [String: UInt64] = ["m": 2, "n": 2, "o": 2]
        while let mission = next.keys.sorted().randomElement(using: &random) {
          let first = next[mission] ?? 0
          let last = min(count, first + UInt64.random(in: 0...8, using: &random))
          var events = Events.progress(first...last, of: mission)
          if last == count { events[events.count - 1] = Events.state(.cancelled, last, of: mission) }
          try await service.record(events)
          next[mission] = last == count ? nil : last + 1
        }
        try await group.waitForAll()
      }
    }
  }

  @Test(arguments: TestEngine.allCases) func aPollWaitsForTheNextEvent(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let service = served[0]
      try await service.record(Events.progress(1...2))
      let wait = GoogleProtobufDuration(.seconds(60))
      async let answer = service.client.list(ListEventsRequest(missionId: "m", afterSequence: 2, wait: wait))
      try await eventually("it waits") { service.log.hub.followers == 1 }
      try await service.record([Events.state(.succeeded, 3)])
      #expect(try await answer.events.map(\.sequence) == [3])
      #expect(try await answer.complete)
      let first = try await service.client.list(ListEventsRequest(missionId: "m", limit: 1))
      #expect(first.events.map(\.sequence) == [1])
      #expect(!first.complete)
    }
  }

  @Test(arguments: TestEngine.allCases) func whoIsBehindGetsProgressCoalesced(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let service = served[0]
      try await service.record(Events.progress(1...700) + [Events.state(.succeeded, 701)])
      let seen = try await service.watch("m", coalesceAfter: 100)
      #expect(seen.first?.sequence == 602, "one hundred behind is near enough")
      #expect(seen.first?.coalesced == 601)
      #expect(seen.map(\.sequence) == Array(602...701))
      #expect(try await service.watch("m").map(\.sequence) == Array(1...701), "nobody else misses anything")
    }
  }

  /// Many watchers of one mission cost the database nothing.
  @Test(arguments: TestEngine.allCases) func watchersWhoKeepUpReadNoLog(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let log = served[0].log
      // What is in the log is made unreadable once all watch: they get the events all the same.
      _ = try await log.record(Events.progress(1...1))
      try await withThrowingTaskGroup(of: [UInt64].self) { group in
        for _ in 0..<50 { group.addTask { try await served[0].watch("m", count: 20).map(\.sequence) } }
        try await eventually("all watch") { log.hub.followers == 50 }
        for sequence in UInt64(2)...20 {
          try await log.database.write { connection in
            try log.append(Events.progress(sequence...sequence), connection)
            try connection.execute("UPDATE events SET event = $1", [UInt8]([0xFF]))
          }
        }
        for try await seen in group { #expect(seen == Array(1...20)) }
      }
    }
  }

  /// Two processes on one database: whoever records, both are watched.
  @Test func bothProcessesShowWhatEitherRecords() async throws {
    var random = SeededRandom()
    try await ServedLog.with(.postgres, count: 2, recent: RecentEvents.Limits(count: 30)) { served in
      try await served[0].record(Events.progress(1...1))
      try await withThrowingTaskGroup(of: Void.self) { group in
        for service in served {
          for _ in 0..<5 {
            group.addTask {
              let seen = try await service.watch("m").map(\.sequence)
              #expect(seen == Array(1...200))
            }
            group.addTask {
              let request = WatchAllEventsRequest(start: .afterPosition(0))
              let seen = try await service.watchAll(request, count: 200)
              #expect(seen.compactMap(\.event?.sequence) == Array(1...200))
              #expect(seen.map(\.position) == Array(1...200), "each position once, in order")
            }
          }
        }
        var next = UInt64(2)
        while next < 200 {
          let last = min(199, next + UInt64.random(in: 0...5, using: &random))
          try await served[Int.random(in: 0...1, using: &random)].record(Events.progress(next...last))
          next = last + 1
        }
        try await served[1].record([Events.state(.succeeded, 200)])
        try await group.waitForAll()
      }
    }
  }
}
