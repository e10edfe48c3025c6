import Foundation
import Messages
import TestSupport
import Testing

/// Several execution processes on one PostgreSQL database.
@Suite(.timeLimit(.minutes(5))) struct SharedDatabaseTests {
  @Test func twoProcessesShareMissionsAndAFrozenOneWritesNothingStale() async throws {
    let count = 200
    let shared = try await SharedDatabase()
    let ids = try await shared.submit(count)
    try await eventually("some have succeeded") { try await shared.succeeded(1) >= count / 5 }
    shared.executions[0].send(SIGSTOP)
    let early = try await shared.succeeded(1)
    // All of them: so what the first process was running has been taken over, after its lease.
    try await eventually("the other process ends them all", within: .seconds(120)) {
      try await shared.succeeded(1) == count
    }
    let before = try await shared.everything(of: ids, from: 1)
    for traces in before { expectOneRun(traces) }

    shared.executions[0].send(SIGCONT)
    try await eventually("it notices") { !shared.lines(0, "lease was lost").isEmpty }
    // It must be of use again, and done with what it was at: it has no more slots than these missions need.
    let further = try await shared.submit(4 * SharedDatabase.slots)
    for traces in try await shared.everything(of: further, from: 0) { expectOneRun(traces) }
    let changed = try await shared.everything(of: ids, from: 0).subtracting(before)
    #expect(changed.isEmpty, "stale writes")
    let runs = (0..<2).map { process in shared.lines(process, "mission ended").count }
    #expect(runs.allSatisfy { $0 > count / 10 }, "both take a share: \(runs)")
    let lost = (0..<2).map { process in shared.lines(process, "lease was lost").count }
    print(
      "\(count) missions on two processes, one frozen after \(early) and continued: all ran once, runs \(runs), "
        + "leases lost \(lost), \(changed.count) stale writes")
  }

  /// Each step was completed once, paid for once, and left one set of artifacts.
  private func expectOneRun(_ traces: MissionTraces) {
    let (mission, events) = (traces.mission, traces.events)
    #expect(mission.state == .succeeded)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)), "\(mission.id)")
    let steps: [Step] = [.verification, .intent, .budget, .selection, .execution, .finalize]
    #expect(events.filter { $0.type == .stepCompleted }.map(\.step) == steps, "\(mission.id)")
    #expect(events.filter { $0.type == .stepStarted }.map(\.step) == steps, "\(mission.id)")
    #expect(traces.ledger.filter { $0.kind == .settle }.count == 1, "\(mission.id): \(traces.ledger)")
    #expect(traces.ledger.filter { $0.kind == .reserve }.count == 1, "\(mission.id): \(traces.ledger)")
    #expect(Set(traces.artifacts.map(\.id)) == Set((mission.result?.artifacts ?? []).map(\.artifactId)))
    #expect(!traces.artifacts.isEmpty && Set(traces.artifacts.map(\.name)).count == traces.artifacts.count)
  }

  @Test func aKilledProcessesMissionsGoOnInTheOtherAndAStoppedOnesAtOnce() async throws {
    let shared = try await SharedDatabase()
    let count = 60
    let ids = try await shared.submit(count)
    try await eventually("some have succeeded") { try await shared.succeeded(1) >= count / 5 }
    shared.executions[0].send(SIGKILL)
    try await eventually("the other process ends them all", within: .seconds(120)) {
      try await shared.succeeded(1) == count
    }
    for traces in try await shared.everything(of: ids, from: 1) { expectOneRun(traces) }
    #expect(shared.lines(1, "lease was lost").isEmpty)
    shared.executions[1].send(SIGTERM)
    let code = try await shared.executions[1].ended()
    #expect(code == 0)
  }
}
