import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Calls of a tool with side effects that must not be repeated, and crashes in the middle of them.
@Suite(.timeLimit(.minutes(1))) struct UnknownEffectTests {
  private static let output = ToolOutput(text: "done", artifacts: [], bytesRead: 0)

  /// A tool whose calls are counted; the first `crashes` of them never return, until their process is gone.
  private final class Effects: Sendable {
    let calls = Mutex<[ToolCall]>([])
    let crashes: Int

    init(crashes: Int) { self.crashes = crashes }

    var count: Int { calls.withLock { $0.count } }

    func tool(isIdempotent: Bool = false) -> ScriptedTool {
      ScriptedTool(hasSideEffects: true, isIdempotent: isIdempotent) { call, _ in
        let number = self.calls.withLock { calls in
          calls.append(call)
          return calls.count
        }
        if number <= self.crashes { try await Task.sleep(for: .seconds(600)) }
        return UnknownEffectTests.output
      }
    }
  }

  /// Runs the mission until the tool has been called so often, then stops as a process that dies would.
  private func crash(_ harness: PipelineHarness, _ effects: Effects, after count: Int) async throws {
    let claim = try await harness.claim("dies \(count)")
    let run = Task { await harness.pipeline.run(claim) }
    try await eventually("the tool is called") { effects.count == count }
    run.cancel()
    await run.value
    try await harness.expireLeases()
  }

  private func answer(_ harness: PipelineHarness, _ id: String, _ choice: String) async throws {
    try await harness.store.database.write { connection in
      var mission = try MissionStore.load(id, connection).mission
      mission.answers.append(
        AnsweredQuestion(question: mission.question, answer: Answer(value: .choice(choice)), actor: "eva"))
      mission.question = nil
      mission.steps.removeAll { $0.outcome == .interrupted }
      mission.state = .running
      try connection.execute(
        "UPDATE missions SET record = $2, state = $3 WHERE id = $1", id, try mission.bytes(),
        Int(mission.state.rawValue))
    }
  }

  @Test(arguments: TestEngine.allCases) func afterACrashItAsksAndRunsAgainIfTold(_ engine: TestEngine) async throws {
    let effects = Effects(crashes: 2)
    let harness = try await PipelineHarness(engine, effects.tool())
    let id = try await harness.submit().id
    for crash in 1...2 {
      try await self.crash(harness, effects, after: crash)
      await harness.pipeline.run(try await harness.claim("asks \(crash)"))
      let asked = try await harness.store.mission(id)
      #expect(asked.state == .awaitingInput && asked.question?.kind == .choice)
      #expect(asked.question?.id == "effect-\(crash)" && asked.question?.step == .execution)
      #expect(asked.question?.options == [UnknownEffect.runAgain, UnknownEffect.tookEffect, UnknownEffect.fail])
      #expect(effects.count == crash, "it was not called again unasked")
      try await answer(harness, id, UnknownEffect.runAgain)
      try await harness.expireLeases()
    }
    await harness.pipeline.run(try await harness.claim("ends"))
    #expect(try await harness.store.mission(id).state == .succeeded)
    #expect(effects.calls.withLock { $0.map(\.idempotencyKey) } == [id, id, id])
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func whatTookEffectIsNotCalledAgain(_ engine: TestEngine) async throws {
    let effects = Effects(crashes: 1)
    let harness = try await PipelineHarness(engine, effects.tool())
    let id = try await harness.submit().id
    try await crash(harness, effects, after: 1)
    await harness.pipeline.run(try await harness.claim("asks"))
    try await answer(harness, id, UnknownEffect.tookEffect)
    try await harness.expireLeases()
    await harness.pipeline.run(try await harness.claim("ends"))
    let mission = try await harness.store.mission(id)
    #expect(mission.state == .succeeded && mission.result?.text.contains("as eva says") == true)
    #expect(effects.count == 1)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func aPersonMayLetItFail(_ engine: TestEngine) async throws {
    let effects = Effects(crashes: 1)
    let harness = try await PipelineHarness(engine, effects.tool())
    let id = try await harness.submit().id
    try await crash(harness, effects, after: 1)
    await harness.pipeline.run(try await harness.claim("asks"))
    try await answer(harness, id, UnknownEffect.fail)
    try await harness.expireLeases()
    await harness.pipeline.run(try await harness.claim("ends"))
    #expect(try await harness.store.mission(id).error?.code == "EFFECT_UNKNOWN")
    #expect(effects.count == 1)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func anIdempotentToolJustRunsAgain(_ engine: TestEngine) async throws {
    let effects = Effects(crashes: 1)
    let harness = try await PipelineHarness(engine, effects.tool(isIdempotent: true))
    let id = try await harness.submit().id
    try await crash(harness, effects, after: 1)
    await harness.pipeline.run(try await harness.claim("ends"))
    #expect(try await harness.store.mission(id).state == .succeeded)
    #expect(effects.calls.withLock { $0.map(\.idempotencyKey) } == [id, id], "the same key, so that it counts once")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func aToolMayAsk(_ engine: TestEngine) async throws {
    let question = ToolQuestion(id: "sure", prompt: "Sure?", kind: .choice, options: ["yes", "no"])
    let calls = Mutex<[ToolCall]>([])
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool(hasSideEffects: true, isIdempotent: false) { call, _ in
        calls.withLock { $0.append(call) }
        if call.answers.isEmpty { throw question }
        return Self.output
      })
    let id = try await harness.submit().id
    await harness.pipeline.run(try await harness.claim("asks"))
    let asked = try await harness.store.mission(id)
    #expect(asked.state == .awaitingInput && asked.question?.id == "tool-sure" && asked.question?.prompt == "Sure?")
    try await answer(harness, id, "yes")
    try await harness.expireLeases()
    await harness.pipeline.run(try await harness.claim("ends"))
    #expect(try await harness.store.mission(id).state == .succeeded, "it is known that nothing took effect")
    let answers = calls.withLock { $0.last?.answers ?? [] }
    #expect(answers.map { $0.question?.id } == ["sure"] && answers.map { $0.answer?.value } == [.choice("yes")])
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func askingForWhatWasAnsweredFails(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in throw ToolQuestion(id: "sure", prompt: "Sure?", kind: .yesNo) })
    let id = try await harness.submit().id
    await harness.pipeline.run(try await harness.claim("asks"))
    try await answer(harness, id, "yes")
    try await harness.expireLeases()
    await harness.pipeline.run(try await harness.claim("ends"))
    #expect(try await harness.store.mission(id).error?.code == "ASKED_AGAIN")
    await harness.close()
  }

  @Test func aChangeThatMadeARunStaleMakesANewKey() {
    var mission = Mission(id: "m")
    #expect(mission.executionKey == "m")
    mission.changes = [
      MissionChange(command: .pause, staleSteps: [.execution]), MissionChange(command: .modify, staleSteps: [.budget]),
    ]
    #expect(mission.executionKey == "m")
    mission.changes.append(MissionChange(command: .modify, staleSteps: [.execution]))
    #expect(mission.executionKey == "m-2")
  }

  @Test func onlyAnAnswerToTheOpenCallCounts() {
    let again = AnsweredQuestion(
      question: Question(id: "effect-1"), answer: Answer(value: .choice(UnknownEffect.runAgain)), actor: "eva")
    let mark = UnknownEffect.Mark(key: "m", answers: 0)
    #expect(UnknownEffect.decide(mark: nil, answers: []) == .call)
    #expect(UnknownEffect.decide(mark: mark, answers: []) == .ask(1))
    #expect(UnknownEffect.decide(mark: mark, answers: [again]) == .call)
    #expect(UnknownEffect.decide(mark: .init(key: "m", answers: 1), answers: [again]) == .ask(2))
    #expect(UnknownEffect.Mark(text: mark.text) == mark && UnknownEffect.Mark(text: "") == nil)
  }
}
