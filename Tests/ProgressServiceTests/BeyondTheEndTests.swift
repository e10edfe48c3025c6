import Messages
import RPC
import ServiceTestSupport
import Stubs
import TestSupport
import Testing

@testable import ProgressService

/// Who asks for what comes after an event that was never stored is told so, and what the last one is.
@Suite(.timeLimit(.minutes(2))) struct BeyondTheEndTests {
  private func isRefused(naming last: UInt64) -> (any Error) -> Bool {
    { error in
      guard let status = error as? Status else { return false }
      return status.code == .outOfRange && status.message.contains("its last one is \(last)")
    }
  }

  private func refuses(_ service: ServedLog, after sequence: UInt64, last: UInt64) async {
    await #expect(performing: { _ = try await service.watch("m", after: sequence) }, throws: isRefused(naming: last))
    let wait = GoogleProtobufDuration(.seconds(60))
    await #expect(
      performing: {
        _ = try await service.client.list(ListEventsRequest(missionId: "m", afterSequence: sequence, wait: wait))
      }, throws: isRefused(naming: last))
  }

  /// While a mission runs and after it ended, from memory and from the log.
  @Test(arguments: TestEngine.allCases, [1, 1_000]) func aMissionHasNoSuchEvent(
    _ engine: TestEngine, recent: Int
  ) async throws {
    try await ServedLog.with(engine, recent: RecentEvents.Limits(count: recent)) { served in
      let service = served[0]
      try await service.record(Events.progress(1...3) + Events.progress(1...1, of: "n"))
      for sequence in [4, 99, UInt64(Int64.max), .max] { await refuses(service, after: sequence, last: 3) }
      let atTheEnd = try await service.client.list(ListEventsRequest(missionId: "m", afterSequence: 3))
      #expect(atTheEnd == ListEventsResponse())
      async let live = service.watch("m", after: 3)
      try await eventually("it watches") { service.log.hub.followers == 1 }
      try await service.record([Events.state(.succeeded, 4)])
      #expect(try await live.map(\.sequence) == [4])
      #expect(try await service.watch("m", after: 4).isEmpty)
      #expect(try await service.client.list(ListEventsRequest(missionId: "m", afterSequence: 4)).complete)
      await refuses(service, after: 5, last: 4)
      await #expect { _ = try await service.watch("none", after: 7) } throws: { ($0 as? Status)?.code == .notFound }
    }
  }

  /// What one process delivered is stored: no other calls it unknown, however far its news are.
  @Test func anotherProcessKnowsWhatWasDelivered() async throws {
    try await ServedLog.with(.postgres, count: 2) { served in
      try await served[1].record(Events.progress(1...1))
      for sequence in UInt64(2)...60 {
        try await served[0].record(Events.progress(sequence...sequence))
        let request = ListEventsRequest(missionId: "m", afterSequence: sequence)
        #expect(try await served[1].client.list(request).events.isEmpty)
      }
      await refuses(served[1], after: 61, last: 60)
    }
  }

  @Test(arguments: TestEngine.allCases) func aWatchOfAllSaysWhereItBegins(_ engine: TestEngine) async throws {
    try await ServedLog.with(engine) { served in
      try await served[0].record(Events.progress(1...3))
      for (start, expected) in [
        (.fromNow(true), "3"), (.afterPosition(1), "1"), (nil, "0"),
      ] as [(WatchAllEventsRequest.Start?, String)] {
        let stream = try await served[0].client.watchAll(WatchAllEventsRequest(start: start))
        #expect(try await stream.initialMetadata[ProgressClient.positionKey] == expected)
      }
    }
  }
}
