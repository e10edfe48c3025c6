import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Testing

@testable import ProgressService

private struct Fixture {
  let store: TestStore
  let log: EventLog

  init(_ engine: TestEngine) async throws {
    store = try await TestStore(engine)
    log = EventLog(database: try await store.open(migrations), hub: EventHub())
  }
}

@Suite struct EventLogTests {
  private func events(_ range: ClosedRange<UInt64>, of mission: String = "m") -> [ProgressEvent] {
    range.map { ProgressEvent(missionId: mission, sequence: $0, type: .stepProgress, state: .running) }
  }

  @Test(arguments: TestEngine.allCases) func whatIsRepeatedIsStoredOnce(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    #expect(try await fixture.log.record(events(1...3)) == 3)
    #expect(try await fixture.log.record(events(2...5)) == 2)
    #expect(try await fixture.log.read("m", after: 0, limit: 10).events.map(\.sequence) == [1, 2, 3, 4, 5])
  }

  @Test(arguments: TestEngine.allCases) func aGapIsRefusedAndNothingIsStored(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    await #expect { try await fixture.log.record(events(1...2) + events(4...4)) } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
    #expect(try await fixture.log.read("m", after: 0, limit: 10).last == nil)
  }

  @Test(arguments: TestEngine.allCases) func theLastEventCompletesTheLog(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    _ = try await fixture.log.record(events(1...1))
    #expect(try await !fixture.log.read("m", after: 0, limit: 10).isComplete)
    _ = try await fixture.log.record([ProgressEvent(missionId: "m", sequence: 2, type: .stateChanged, state: .failed)])
    #expect(try await fixture.log.read("m", after: 0, limit: 10).isComplete)
  }

  @Test(arguments: TestEngine.allCases) func manyFollowersSeeEverythingInOrder(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await withThrowingTaskGroup(of: [UInt64].self) { group in
      for _ in 0..<50 {
        group.addTask {
          try await fixture.log.hub.following("m") { follower in
            var seen: [UInt64] = []
            while seen.count < 200 {
              let piece = try await fixture.log.read("m", after: seen.last ?? 0, limit: 7)
              seen += piece.events.map(\.sequence)
              if piece.events.isEmpty { await follower.wait(after: seen.last ?? 0) }
            }
            return seen
          }
        }
      }
      for sequence in UInt64(1)...200 { _ = try await fixture.log.record(events(sequence...sequence)) }
      for try await seen in group { #expect(seen == Array(1...200)) }
    }
  }

  @Test(arguments: TestEngine.allCases) func aFollowerThatIsCancelledStopsWaiting(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let hub = fixture.log.hub
    let task = Task { await hub.following("quiet") { await $0.wait(after: 0) } }
    task.cancel()
    await task.value
  }
}

@Suite struct SnapshotTests {
  private func event(
    _ sequence: UInt64, _ type: EventType, _ step: Step = .unspecified, percent: Double = 0,
    state: MissionState = .running, at seconds: Double
  ) -> ProgressEvent {
    ProgressEvent(
      missionId: "m", sequence: sequence, time: GoogleProtobufTimestamp(Date(timeIntervalSince1970: seconds)),
      type: type, step: step, percent: percent, state: state)
  }

  private func seconds(_ duration: GoogleProtobufDuration?) -> Double? {
    duration.map { Double($0.seconds) + Double($0.nanos) / 1e9 }
  }

  @Test func aRunningMissionHasAnETAByThePlainRule() {
    let events = [
      event(1, .stateChanged, state: .approved, at: 0), event(2, .stateChanged, at: 10),
      event(3, .stepStarted, .verification, at: 10), event(4, .stepCompleted, .verification, percent: 5, at: 11),
      event(5, .stepStarted, .intent, percent: 25, at: 12),
    ]
    let snapshot = ProgressSnapshot(missionID: "m", events: events, now: Date(timeIntervalSince1970: 20))
    #expect(snapshot.percent == 25)
    #expect(seconds(snapshot.elapsed) == 10)
    #expect(Standing(snapshot, now: Date(timeIntervalSince1970: 20))?.plainRule == 30)
    #expect(snapshot.steps.map(\.outcome) == [.completed, .running])
    #expect(snapshot.lastSequence == 5)
  }

  @Test func anEndedMissionHasNoETAAndItsTimeStands() {
    let events = [
      event(1, .stateChanged, at: 10), event(2, .stateChanged, percent: 100, state: .succeeded, at: 14),
    ]
    let snapshot = ProgressSnapshot(missionID: "m", events: events, now: Date(timeIntervalSince1970: 99))
    #expect(seconds(snapshot.elapsed) == 4)
    #expect(Standing(snapshot, now: Date(timeIntervalSince1970: 99)) == nil)
  }

  @Test func thereIsNothingToGoByAtTheBeginning() {
    let begun = ProgressSnapshot(missionID: "m", events: [event(1, .stateChanged, at: 10)], now: Date())
    #expect(Standing(begun, now: Date())?.plainRule == nil)
    #expect(ProgressSnapshot(missionID: "m", events: [], now: Date()).elapsed == nil)
  }
}
