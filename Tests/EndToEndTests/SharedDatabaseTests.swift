import Foundation
import Messages
import ServiceTestSupport
import TestSupport
import Testing

/// Several execution processes on one PostgreSQL database.
@Suite(.timeLimit(.minutes(5))) struct SharedDatabaseTests {
  @Test func twoProcessesShareMissionsAndAFrozenOneWritesNothingStale() async throws {
    let count = 200
    let shared = try await SharedDatabase()
    let (first, second) = (try await shared.execution(), try await shared.execution())
    let ids = try await submit(count, to: [first, second])
    try await eventually("some have succeeded") { try await second.succeeded() >= count / 5 }
    first.process.send(SIGSTOP)
    let early = try await second.succeeded()
    // All of them: so what the first process was running has been taken over, after its lease.
    try await eventually("the other process ends them all", within: .seconds(120)) {
      try await second.succeeded() == count
    }
    let before = try await shared.traces(of: ids, by: second)
    for traces in before { expectOneRun(traces) }

    first.process.send(SIGCONT)
    try await eventually("it notices") { first.lost > 0 }
    // It must be of use again, and done with what it was at: it has no more room than these missions need.
    let further = try await submit(4 * Execution.room, to: [first, second])
    for traces in try await shared.traces(of: further, by: first) { expectOneRun(traces) }
    let stale = try await shared.traces(of: ids, by: first).subtracting(before)
    #expect(stale.isEmpty)
    let runs = [first.ended, second.ended]
    #expect(runs.allSatisfy { $0 > count / 20 }, "both take a share: \(runs)")
    print(
      "\(count) missions on two processes, one frozen after \(early) and continued: all ran once, "
        + "runs \(runs), leases lost \([first.lost, second.lost]), \(stale.count) stale writes")
  }

  @Test func aProcessThatWakesInTheMiddleOfATakenOverStepIsRefused() async throws {
    let shared = try await SharedDatabase()
    let pages = try await SlowPages()
    let first = try await shared.execution("--allow-private-fetch")
    var ids: [String] = []
    for number in 0..<Execution.room {
      ids.append(try await first.submit("Get the title of \(pages.url("page-\(number)"))"))
    }
    try await eventually("all are in the middle of their tool") { pages.asked == ids.count }
    first.process.send(SIGSTOP)
    let second = try await shared.execution("--allow-private-fetch")
    try await eventually("all were taken over") { pages.asked >= 2 * ids.count }
    // The answers that the first process waits for: it finds them when it wakes, and its steps are done.
    pages.answer(ids.count)
    first.process.send(SIGCONT)
    try await eventually("all its results were refused") { first.lost == ids.count }
    for id in ids {
      let mission = try await second.mission(id)
      #expect(mission.state == .running && mission.steps.last?.step == .execution)
      #expect(mission.steps.last?.outcome == .running)
    }
    try await eventually("the second process ends them") {
      pages.answer(.max)
      return try await second.succeeded() == ids.count
    }
    for traces in try await shared.traces(of: ids, by: second) { expectOneRun(traces) }
    print("\(ids.count) missions taken over from a frozen process in the middle of a step: 0 of its results stored")
  }

  @Test func aKilledProcessesMissionsGoOnInTheOther() async throws {
    let count = 60
    let shared = try await SharedDatabase()
    let (first, second) = (try await shared.execution(), try await shared.execution())
    let ids = try await submit(count, to: [first, second])
    try await eventually("some have succeeded") { try await second.succeeded() >= count / 5 }
    first.process.send(SIGKILL)
    try await eventually("the other process ends them all", within: .seconds(120)) {
      try await second.succeeded() == count
    }
    for traces in try await shared.traces(of: ids, by: second) { expectOneRun(traces) }
    second.process.send(SIGTERM)
    let code = try await second.process.ended()
    #expect(code == 0)
  }

  /// Submits this many missions together, alternately to each process; returns their ids.
  private func submit(_ count: Int, to executions: [Execution]) async throws -> [String] {
    try await withThrowingTaskGroup(of: String.self) { group in
      for number in 0..<count {
        group.addTask { try await executions[number % executions.count].submit("What is \(number) * 7?") }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
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
}
