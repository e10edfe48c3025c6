import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Testing

@testable import ProgressService

/// What watchers of all missions are told where events are not kept any more: nothing that is kept is left out.
@Suite(.timeLimit(.minutes(2))) struct PrunedPositionTests {
  /// The positions 1 to 12: of a mission that ended (2, 5, 8 and 11) and of one that runs, in turns; the first is pruned.
  private func withPruned(_ engine: TestEngine, _ body: (ServedLog) async throws -> Void) async throws {
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: 1)) { served in
      let service = served[0]
      try await service.record(Events.progress(1...1))
      for sequence in UInt64(1)...3 {
        try await service.record(Events.progress(sequence...sequence, of: "old"))
        try await service.record(Events.progress(sequence * 2...sequence * 2 + 1))
      }
      try await service.record([Events.state(.succeeded, 4, of: "old", at: 1_000)])
      try await service.record(Events.progress(8...8))
      let soon = Date(timeIntervalSinceNow: 3_600)
      try await service.log.database.write { [log = service.log] in
        _ = try log.pruneEnded(before: soon, limit: 500, $0)
      }
      try await body(service)
    }
  }

  private let kept: [UInt64] = [1, 3, 4, 6, 7, 9, 10, 12]

  @Test(arguments: TestEngine.allCases) func aWatcherIsToldAndGetsWhatIsKept(_ engine: TestEngine) async throws {
    try await withPruned(engine) { service in
      let all = try await service.watchAll(WatchAllEventsRequest(), count: kept.count)
      #expect(all.map(\.position) == kept, "who asks for everything that is kept misses nothing")
      for start in UInt64(1)...10 {
        let rest = kept.filter { $0 > start }
        let seen = try await service.watchAll(
          WatchAllEventsRequest(start: .afterPosition(start)), count: rest.count + 1)
        #expect(seen.map(\.position) == [start] + rest)
        #expect(seen.first?.event?.type == .gap)
        #expect(seen.first?.event?.sequence == 11)
        #expect(seen.dropFirst().allSatisfy { $0.event?.type == .stepProgress })
      }
      let after = try await service.watchAll(WatchAllEventsRequest(start: .afterPosition(11)), count: 1)
      #expect(after.map(\.position) == [12], "nothing is missing after that")
    }
  }

  @Test(arguments: TestEngine.allCases) func aPollIsToldAndGetsWhatIsKept(_ engine: TestEngine) async throws {
    try await withPruned(engine) { service in
      for start in UInt64(0)...12 {
        let answer = try await service.client.listAll(ListAllEventsRequest(afterPosition: start))
        #expect(answer.events.map(\.position) == kept.filter { $0 > start })
        #expect(answer.prunedPosition == (start < 11 ? 11 : 0), "after \(start)")
      }
      var (seen, position) = ([UInt64](), UInt64(0))
      while position < 12 {
        let answer = try await service.client.listAll(ListAllEventsRequest(afterPosition: position, limit: 3))
        seen += answer.events.map(\.position)
        position = answer.position
      }
      #expect(seen == kept, "page by page")
    }
  }

  @Test func itIsToldOnceForEachDeletion() {
    var resumed = PrunedNotice(from: 3)
    #expect(resumed.due(nil) == nil)
    #expect(resumed.due(9) == 9)
    #expect(resumed.due(9) == nil)
    #expect(resumed.due(12) == 12)
    var whole = PrunedNotice(from: 0)
    #expect(whole.due(9) == nil, "it asked for what is kept")
    #expect(whole.due(9) == nil)
    #expect(whole.due(12) == 12, "that was kept when it began")
    var live = PrunedNotice(from: 0)
    #expect(live.due(nil) == nil)
    #expect(live.due(5) == 5)
  }
}
