import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Missions that are modified while their runs are further than what is stored.
@Suite(.timeLimit(.minutes(2))) struct ModifiedRunTests {
  /// What the tool was called for.
  private final class Seen: Sendable {
    let calls = Mutex<[(objective: String, parameters: [String: String])]>([])

    var tool: ScriptedTool {
      ScriptedTool { call, _ in
        self.calls.withLock { $0.append((call.objective, call.parameters)) }
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      }
    }
  }

  /// Lets the first call of a name wait.
  private final class Gate: Sendable {
    private let isReached = Mutex(false)
    private let (stream, open) = AsyncStream.makeStream(of: Void.self)

    init(_ name: String, _ peers: ScriptedPeers) {
      peers.before.withLock { $0 = { [self] call in if call == name { await wait() } } }
    }

    private func wait() async {
      let isFirst = isReached.withLock { reached in
        defer { reached = true }
        return !reached
      }
      if isFirst { for await _ in stream {} }
    }

    func reached() async throws { try await eventually("the call waits") { isReached.withLock { $0 } } }
    func release() { open.finish() }
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let modification: Modification
    /// The first of the steps that must run anew where they have been stored.
    let first: Step
    var testDescription: String { name }
  }

  static let cases = [
    Case(name: "parameters", modification: Modification(setParameters: ["precision": "9"]), first: .execution),
    Case(name: "objective", modification: Modification(objective: "What is 6 * 8?"), first: .intent),
    Case(name: "tool", modification: Modification(requestedTool: "calculate"), first: .intent),
    Case(name: "budget", modification: Modification(budget: Money(micros: 500, currency: "USD")), first: .budget),
    Case(name: "priority", modification: Modification(priority: 7), first: .finalize),
  ]

  private func expect(
    _ id: String, isRightly modification: Modification, _ seen: Seen, _ harness: PipelineHarness,
    isReserved: Bool = false
  ) async throws -> Mission {
    let stored = try await harness.store.mission(id)
    #expect(stored.state == .succeeded)
    var asked = stored
    #expect(modification.change(&asked).isEmpty, "the modification is kept")
    let last = try #require(seen.calls.withLock { $0.last })
    #expect(last.objective == stored.objective && last.parameters == stored.parameters)
    let reserved = try #require(harness.peers.calls.withLock { $0.budgets.last })
    // A smaller budget that what is reserved fits needs no other reservation.
    #expect(reserved == (isReserved ? 1_000 : stored.budget?.micros))
    let events = try await harness.events(id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(Set(stored.steps.filter { $0.outcome == .completed }.map(\.step)).count == 6)
    return stored
  }

  /// Nothing of the run is stored but its beginning, and it has come to the selection.
  @Test(arguments: TestEngine.allCases, cases)
  func whatIsWorkedOutAheadOnOldFieldsDoesNotCount(_ engine: TestEngine, _ one: Case) async throws {
    let seen = Seen()
    let harness = try await PipelineHarness(engine, seen.tool)
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let held = try await HeldWriter(harness.store.database) { connection in
      _ = try MissionStore.change(
        mission.id, [.modify(By(actor: "eva"), one.modification, isInterruptible: true)], connection)
    }
    async let run: Void = harness.pipeline.run(claim)
    try await eventually("the selection is worked out") {
      harness.peers.calls.withLock { $0.askedForMultipliers == 1 }
    }
    held.letGo()
    await run
    let stored = try await expect(mission.id, isRightly: one.modification, seen, harness)
    #expect(stored.steps.map(\.step) == Step.sequence, "what is stored of each step is one run")
    let calls = harness.peers.calls.withLock { $0 }
    let repeats = [.intent, .budget].contains(one.first)
    #expect(calls.reserved.count == (repeats ? 2 : 1) && calls.askedForMultipliers == (repeats ? 2 : 1))
    if one.first == .finalize { #expect(seen.calls.withLock { $0.count } == 1) }
    await harness.close()
  }

  /// The step that runs is stored as begun.
  @Test(arguments: TestEngine.allCases, cases)
  func whatIsChangedDuringTheSelectionCounts(_ engine: TestEngine, _ one: Case) async throws {
    let seen = Seen()
    let harness = try await PipelineHarness(engine, seen.tool)
    let gate = Gate("getMultipliers", harness.peers)
    let stored = try await modify(one, at: .selection, gate, seen, harness)
    let completed = stored.steps.filter { $0.outcome == .completed }.map(\.step)
    #expect(completed == Step.sequence, "each step has ended once and counts")
    // What is reserved fits the smaller budget, so the selection goes on.
    let repeats = one.first == .intent
    #expect(stored.steps.contains { $0.outcome == .stale } == repeats)
    #expect(harness.peers.calls.withLock { $0.askedForMultipliers } == (repeats ? 2 : 1))
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases, cases)
  func whatIsChangedDuringTheBudgetCounts(_ engine: TestEngine, _ one: Case) async throws {
    let seen = Seen()
    let harness = try await PipelineHarness(engine, seen.tool)
    let gate = Gate("reserve", harness.peers)
    let stored = try await modify(one, at: .budget, gate, seen, harness)
    #expect(stored.steps.filter { $0.outcome == .completed }.map(\.step) == Step.sequence)
    let repeats = [.intent, .budget].contains(one.first)
    #expect(harness.peers.calls.withLock { $0.reserved.count } == (repeats ? 2 : 1))
    await harness.close()
  }

  /// Runs a mission up to a call that waits, modifies it there, and lets it go on to its end.
  private func modify(
    _ one: Case, at step: Step, _ gate: Gate, _ seen: Seen, _ harness: PipelineHarness
  ) async throws -> Mission {
    let runner = harness.runner("a")
    let loop = Task { await runner.run() }
    let mission = try await harness.submit()
    try await gate.reached()
    try await eventually("the step is stored as begun") {
      try await harness.store.mission(mission.id).runningStep == step
    }
    _ = try await harness.store.command(.modify, of: mission.id, expectedVersion: 0, requestID: "", request: []) { _ in
      .modify(By(actor: "eva"), one.modification, isInterruptible: true)
    }
    gate.release()
    try await eventually("it has ended") { try await harness.store.mission(mission.id).state.isTerminal }
    let stored = try await expect(mission.id, isRightly: one.modification, seen, harness, isReserved: step == .selection)
    loop.cancel()
    await loop.value
    await runner.stopAll()
    return stored
  }

  @Test func aStepRestsOnItsFieldsOnly() {
    let mission = Mission(id: "m", objective: "1 + 1")
    for one in Self.cases {
      var changed = mission
      _ = one.modification.change(&changed)
      for step in Step.sequence {
        let isOutdated: Bool
        switch one.name {
        case "parameters": isOutdated = [.execution, .finalize].contains(step)
        case "budget": isOutdated = step == .budget
        case "priority": isOutdated = false
        default: isOutdated = step != .verification
        }
        let basis = StepBasis(step: step, mission: mission)
        if isOutdated {
          #expect(throws: StepOutdated(step: step)) { try basis.check(against: changed) }
        } else {
          #expect(throws: Never.self) { try basis.check(against: changed) }
        }
      }
    }
  }
}
