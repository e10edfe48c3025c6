import Messages
import RPC
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(2))) struct StepJournalTests {
  private static let tool = ScriptedTool { _, _ in ToolOutput(text: "42", artifacts: [], bytesRead: 1) }

  private func journal(_ claim: Claim, _ harness: PipelineHarness) -> StepJournal {
    StepJournal(claim.mission, sequence: claim.sequence, under: claim.lease, in: harness.store, trace: "")
  }

  /// The end of one step and the start of the next.
  private func end(of step: Step) -> StepJournal.Entry {
    StepJournal.Entry(transitions: [.complete(step, message: "")] + (step.next.map { [.begin($0)] } ?? []))
  }

  @Test(arguments: TestEngine.allCases) func theRunGoesOnAheadOfItsCommits(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let journal = journal(claim, harness)
    let held = try await HeldWriter(harness.store.database)
    for step in [Step.verification, .intent, .budget] { try journal.write(end(of: step)) }
    #expect(try await harness.store.mission(mission.id) == claim.mission, "nothing is stored yet")
    held.letGo()
    let settled = try await journal.settled()
    #expect(settled.currentStep == .selection && settled.version == claim.mission.version + 3)
    #expect(try await harness.store.mission(mission.id) == settled)
    #expect(settled.steps.map(\.outcome) == [.completed, .completed, .completed, .running], "each has its own record")
    let events = try await harness.events(mission.id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(try await harness.waiting(MissionStore.Topic.events) == 3, "submission, claim, and the three together")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aRefusedWriteDropsWhatWasWorkedOutAhead(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let journal = journal(try await harness.claim(), harness)
    let held = try await HeldWriter(harness.store.database) { connection in
      _ = try MissionStore.change(mission.id, [.cancel(By(actor: "eva"))], connection)
    }
    try journal.write(end(of: .verification))
    #expect(try journal.write(end(of: .intent)).currentStep == .budget)
    held.letGo()
    await #expect { try await journal.settled() } throws: { ($0 as? Status)?.code == .failedPrecondition }
    #expect(throws: Status.self) { try journal.write(end(of: .budget)) }
    let stored = try await harness.store.mission(mission.id)
    #expect(stored.state == .cancelled && stored.steps.map(\.outcome) == [.cancelled])
    #expect(try await harness.events(mission.id).last?.state == .cancelled)
    await harness.close()
  }

  /// A change of somebody else that does not stop the run.
  @Test(arguments: TestEngine.allCases) func whatOthersChangeMeanwhileIsKept(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let journal = journal(try await harness.claim(), harness)
    let held = try await HeldWriter(harness.store.database) { connection in
      _ = try MissionStore.change(
        mission.id, [.report(.verification, fraction: 0.5, message: "half way")], prepare: { $0.priority = 7 },
        connection)
    }
    for step in [Step.verification, .intent] { try journal.write(end(of: step)) }
    held.letGo()
    let settled = try await journal.settled()
    #expect(settled.priority == 7 && settled.currentStep == .budget)
    // From here on the journal knows of it.
    try journal.write(end(of: .budget))
    #expect(try await journal.settled() == harness.store.mission(mission.id))
    #expect(try await harness.store.mission(mission.id).priority == 7)
    let events = try await harness.events(mission.id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(events.contains { $0.message == "half way" })
    await harness.close()
  }

  /// A process that was frozen, or cut off, while it was ahead: another one has claimed the mission since.
  @Test(arguments: TestEngine.allCases) func whoLostTheLeaseStoresNothingMore(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let lost = try await harness.claim("a")
    let journal = journal(lost, harness)
    try await harness.expireLeases()
    let other = try await harness.claim("b")
    for step in [Step.verification, .intent] { try journal.write(end(of: step)) }
    await #expect(throws: LeaseLost.self) { try await journal.settled() }
    #expect(try await harness.store.mission(mission.id) == other.mission)
    await harness.pipeline.run(other)
    let ended = try await harness.store.mission(mission.id)
    #expect(ended.state == .succeeded && ended.steps.count == 6, "no step has run to its end twice")
    let events = try await harness.events(mission.id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func aToolWithoutSideEffectsRunsAhead(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        start.finish()
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      })
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let held = try await HeldWriter(harness.store.database)
    async let run: Void = harness.pipeline.run(claim)
    for await _ in started {}
    #expect(try await harness.store.mission(mission.id) == claim.mission, "while nothing of the steps before is stored")
    #expect(harness.peers.calls.withLock { $0.stored.isEmpty }, "what came out is not kept before that is")
    held.letGo()
    await run
    #expect(try await harness.store.mission(mission.id).state == .succeeded)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aToolWithSideEffectsWaitsForTheStepsBefore(_ engine: TestEngine) async throws {
    let seen = Mutex<[Mission]>([])
    let isLetGo = Mutex(false)
    let startedEarly = Mutex(false)
    let store = Mutex<MissionStore?>(nil)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool(hasSideEffects: true) { call, _ in
        if !isLetGo.withLock({ $0 }) { startedEarly.withLock { $0 = true } }
        let stored = try await store.withLock { $0 }?.mission(call.missionID)
        if let stored { seen.withLock { $0.append(stored) } }
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      })
    store.withLock { $0 = harness.store }
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let held = try await HeldWriter(harness.store.database)
    async let run: Void = harness.pipeline.run(claim)
    try await eventually("all before the tool is worked out") {
      harness.peers.calls.withLock { $0.askedForMultipliers == 1 }
    }
    isLetGo.withLock { $0 = true }
    held.letGo()
    await run
    #expect(!startedEarly.withLock { $0 })
    let steps = seen.withLock { $0 }.first?.steps.map(\.outcome)
    #expect(steps == [.completed, .completed, .completed, .completed, .running], "its step is stored as begun")
    #expect(try await harness.store.mission(mission.id).state == .succeeded)
    await harness.close()
  }

  /// Cancelled while it was ahead: the call of the tool does not begin.
  @Test(arguments: TestEngine.allCases) func aCancelledMissionHasNoSideEffect(_ engine: TestEngine) async throws {
    let runs = Mutex(0)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool(hasSideEffects: true) { _, _ in
        runs.withLock { $0 += 1 }
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      })
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let held = try await HeldWriter(harness.store.database) { connection in
      _ = try MissionStore.change(mission.id, [.cancel(By(actor: "eva"))], connection)
    }
    async let run: Void = harness.pipeline.run(claim)
    try await eventually("all before the tool is worked out") {
      harness.peers.calls.withLock { $0.askedForMultipliers == 1 }
    }
    held.letGo()
    await run
    #expect(runs.withLock { $0 } == 0)
    #expect(try await harness.store.mission(mission.id).state == .cancelled)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func aRunGoesOnAfterItsStorageFailed(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let journal = journal(try await harness.claim(), harness)
    var broken = end(of: .verification)
    broken.alongside = { _ in throw StorageError.diskFull("for a moment") }
    try journal.write(broken)
    await #expect(throws: StorageError.self) { try await journal.settled() }
    try await harness.expireLeases()
    await harness.pipeline.run(try await harness.claim("b"))
    #expect(try await harness.store.mission(mission.id).state == .succeeded)
    await harness.close()
  }
}
