import Foundation
import Messages
import RPC
import Storage
import TestSupport
import Testing

@testable import ProgressService

@Suite struct EventLogTests {
  private let folder: TemporaryFolder
  private let log: EventLog

  init() async throws {
    folder = try TemporaryFolder("progress")
    log = EventLog(
      database: try await Database.open(.sqlite(path: folder.file("db.sqlite3")), migrations: migrations), hub: EventHub())
  }

  private func events(_ range: ClosedRange<UInt64>, of mission: String = "m") -> [ProgressEvent] {
    range.map { ProgressEvent(missionId: mission, sequence: $0, type: .stepProgress, state: .running) }
  }

  @Test func whatIsRepeatedIsStoredOnce() async throws {
    #expect(try await log.record(events(1...3)) == 3)
    #expect(try await log.record(events(2...5)) == 2)
    #expect(try await log.read("m", after: 0, limit: 10).events.map(\.sequence) == [1, 2, 3, 4, 5])
  }

  @Test func aGapIsRefusedAndNothingIsStored() async throws {
    await #expect { try await log.record(events(1...2) + events(4...4)) } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
    #expect(try await log.read("m", after: 0, limit: 10).last == nil)
  }

  @Test func theLastEventCompletesTheLog() async throws {
    _ = try await log.record(events(1...1))
    #expect(try await !log.read("m", after: 0, limit: 10).isComplete)
    _ = try await log.record([ProgressEvent(missionId: "m", sequence: 2, type: .stateChanged, state: .failed)])
    #expect(try await log.read("m", after: 0, limit: 10).isComplete)
  }

  @Test func manyFollowersSeeEverythingInOrder() async throws {
    let log = log
    try await withThrowingTaskGroup(of: [UInt64].self) { group in
      for _ in 0..<50 {
        group.addTask {
          try await log.hub.following("m") { follower in
            var seen: [UInt64] = []
            while seen.count < 200 {
              let piece = try await log.read("m", after: seen.last ?? 0, limit: 7)
              seen += piece.events.map(\.sequence)
              if piece.events.isEmpty { await follower.wait(after: seen.last ?? 0) }
            }
            return seen
          }
        }
      }
      for sequence in UInt64(1)...200 { _ = try await log.record(events(sequence...sequence)) }
      for try await seen in group { #expect(seen == Array(1...200)) }
    }
  }

  @Test func aFollowerThatIsCancelledStopsWaiting() async throws {
    let hub = log.hub
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
    #expect(seconds(snapshot.eta) == 30)
    #expect(snapshot.steps.map(\.outcome) == [.completed, .running])
    #expect(snapshot.lastSequence == 5)
  }

  @Test func anEndedMissionHasNoETAAndItsTimeStands() {
    let events = [
      event(1, .stateChanged, at: 10), event(2, .stateChanged, percent: 100, state: .succeeded, at: 14),
    ]
    let snapshot = ProgressSnapshot(missionID: "m", events: events, now: Date(timeIntervalSince1970: 99))
    #expect(seconds(snapshot.elapsed) == 4)
    #expect(snapshot.eta == nil)
  }

  @Test func thereIsNothingToGoByAtTheBeginning() {
    #expect(ProgressSnapshot.plainETA(elapsed: 3, percent: 0) == nil)
    #expect(ProgressSnapshot(missionID: "m", events: [], now: Date()).elapsed == nil)
  }
}
