import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ProgressService

/// The events of all missions on the wire.
@Suite(.timeLimit(.minutes(2))) struct WatchAllTests {
  @Test(arguments: TestEngine.allCases) func itStartsWhereItIsTold(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let service = served[0]
      try await service.record(Events.progress(1...2) + Events.progress(1...1, of: "n"))
      let all = try await service.watchAll(WatchAllEventsRequest(), count: 3)
      #expect(all.map(\.position) == [1, 2, 3])
      #expect(all.compactMap(\.event?.missionId) == ["m", "m", "n"])
      let rest = try await service.watchAll(WatchAllEventsRequest(start: .afterPosition(2)), count: 1)
      #expect(rest == [all[2]])
      async let live = service.watchAll(WatchAllEventsRequest(start: .fromNow(true)), count: 1)
      try await eventually("it watches") { service.log.hub.followers == 1 }
      // Followed is not yet begun: only what comes after its look at the newest position counts as from now on.
      let running = Task {
        for sequence in UInt64(3)... {
          try Task.checkCancellation()
          try await service.record(Events.progress(sequence...sequence))
        }
      }
      #expect(try await live[0].position > 3)
      running.cancel()
      _ = await running.result
      await #expect {
        _ = try await service.watchAll(WatchAllEventsRequest(start: .afterPosition(1_000_000)), count: 1)
      } throws: { ($0 as? Status)?.code == .outOfRange }
    }
  }

  /// Filters by what missions are told apart by, from memory and from the log.
  @Test(arguments: TestEngine.allCases, [1, 1_000]) func itFilters(_ engine: TestEngine, recent: Int) async throws {
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: recent)) { served in
      let service = served[0]
      let ann = MissionFacts(owner: "ann", labels: ["team": "a", "site": "x"], recipe: "weekly")
      let bob = MissionFacts(owner: "bob", labels: ["team": "a"])
      try await service.record(
        Events.progress(1...2, of: "a", facts: ann) + Events.progress(1...2, of: "b", facts: bob))
      try await service.record([Events.state(.paused, 3, of: "a"), Events.state(.succeeded, 3, of: "b")])
      let cases: [(EventFilter, [String])] = [
        (EventFilter(owner: "ann"), ["a1", "a2", "a3"]),
        (EventFilter(labels: ["team": "a", "site": "x"]), ["a1", "a2", "a3"]),
        (EventFilter(labels: ["team": "a"]), ["a1", "a2", "b1", "b2", "a3", "b3"]),
        (EventFilter(states: [.paused, .succeeded]), ["a3", "b3"]), (EventFilter(recipe: "weekly"), ["a1", "a2", "a3"]),
        (EventFilter(owner: "bob", states: [.running]), ["b1", "b2"]),
      ]
      for (filter, expected) in cases {
        let seen = try await service.watchAll(WatchAllEventsRequest(filter: filter), count: expected.count)
        #expect(seen.compactMap(\.event).map { "\($0.missionId)\($0.sequence)" } == expected, "\(filter)")
        let listed = try await service.client.listAll(ListAllEventsRequest(filter: filter))
        #expect(listed.events == seen)
        #expect(listed.position == 6, "all were looked at")
      }
    }
  }

  @Test(arguments: TestEngine.allCases) func aPollWaitsForWhatItsFilterWants(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      let service = served[0]
      let request = ListAllEventsRequest(
        filter: EventFilter(owner: "ann"), wait: GoogleProtobufDuration(.seconds(60)))
      async let answer = service.client.listAll(request)
      try await eventually("it waits") { service.log.hub.followers == 1 }
      try await service.record(Events.progress(1...3, facts: MissionFacts(owner: "bob")))
      try await service.record(Events.progress(1...1, of: "n", facts: MissionFacts(owner: "ann")))
      #expect(try await answer.events.map(\.position) == [4])
      let none = try await service.client.listAll(ListAllEventsRequest(filter: EventFilter(owner: "eve")))
      #expect(none.events.isEmpty)
      #expect(none.position == 4)
      let one = try await service.client.listAll(ListAllEventsRequest(afterPosition: 1, limit: 1))
      #expect(one.events.map(\.position) == [2])
      #expect(one.position == 2)
    }
  }

  /// Pollers and watchers who go on from any position see every event once, in order.
  @Test(arguments: TestEngine.allCases) func everyResumptionSeesTheRest(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let count = UInt64(240)
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 25)) { served in
      let service = served[0]
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<6 {
          let stops = (0..<4).map { _ in Int.random(in: 1...50, using: &random) }
          group.addTask {
            var seen: [UInt64] = []
            while seen.count < count {
              let stop = min(stops[seen.count % 4], Int(count) - seen.count)
              let request = WatchAllEventsRequest(start: .afterPosition(seen.last ?? 0))
              seen += try await service.watchAll(request, count: stop).map(\.position)
            }
            #expect(seen == Array(1...count))
          }
          let limit = Int32.random(in: 1...30, using: &random)
          group.addTask {
            var (seen, position) = ([UInt64](), UInt64(0))
            while seen.count < count {
              let answer = try await service.client.listAll(
                ListAllEventsRequest(
                  afterPosition: position, wait: GoogleProtobufDuration(.seconds(60)), limit: limit))
              seen += answer.events.map(\.position)
              position = answer.position
            }
            #expect(seen == Array(1...count))
          }
        }
        var next: [UInt64] = [1, 1, 1]
        var left = Int(count)
        while left > 0 {
          let mission = Int.random(in: 0..<3, using: &random)
          let size = min(left, Int.random(in: 1...12, using: &random))
          let last = next[mission] + UInt64(size) - 1
          try await service.record(Events.progress(next[mission]...last, of: "m\(mission)"))
          next[mission] = last + 1
          left -= size
        }
        try await group.waitForAll()
      }
    }
  }

  /// One who reads nothing gets a gap once it reads again, and costs the others nothing meanwhile.
  @Test(arguments: TestEngine.allCases) func whoFallsTooFarBehindGetsAGap(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 500), maximumLag: 300) { served in
      let service = served[0]
      let slow = try await service.client.watchAll(WatchAllEventsRequest(start: .afterPosition(0)))
      var iterator = slow.makeAsyncIterator()
      // Long enough that what the connection holds is less than what the watcher misses.
      let text = String(repeating: "x", count: 8_000)
      let count = UInt64(1_500)
      let fast = Mutex<[UInt64]>([])
      let reading = Task {
        for try await entry in try await service.client.watchAll(WatchAllEventsRequest(start: .afterPosition(0))) {
          fast.withLock { $0.append(entry.position) }
        }
      }
      try await eventually("both watch") { service.log.hub.followers == 2 }
      for first in stride(from: UInt64(1), to: count, by: 50) {
        try await service.record(
          Events.progress(first...(first + 49)).map {
            var event = $0
            event.message = text
            return event
          })
        try await eventually("the fast one has read it") { fast.withLock { $0.last == first + 49 } }
      }
      #expect(fast.withLock { $0 } == Array(1...count))
      reading.cancel()
      var (position, gaps) = (UInt64(0), 0)
      while position < count, let entry = try await iterator.next() {
        if entry.event?.type == .gap {
          gaps += 1
          #expect(entry.position > position + 300)
        } else {
          #expect(entry.position == position + 1, "nothing is missing but what a gap names")
        }
        position = entry.position
      }
      #expect(gaps >= 1)
    }
  }
}
