import Messages
import RPC
import ServiceTestSupport
import Storage
import Synchronization
import Testing

@testable import ExecutionService

@Suite struct PipelineTests {
  private struct Broken: Error {}

  private static func output(_ text: String) -> ToolOutput {
    ToolOutput(text: text, artifacts: [ToolArtifact(name: "a.txt", mediaType: "text/plain", text: text)], bytesRead: 1)
  }

  @Test(arguments: TestEngine.allCases)
  func aMissionSucceedsAndIsSettledOnce(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, ScriptedTool { _, _ in Self.output("42") })
    let mission = try await harness.run()
    #expect(mission.state == .succeeded)
    #expect(mission.cost?.micros == 100)
    #expect(mission.result?.artifacts.map(\.name) == ["a.txt"])
    #expect(mission.choice?.candidates.map(\.multiplier) == [1], "a short answer of learning counts as nothing learned")
    let calls = harness.peers.calls.withLock { $0 }
    #expect(calls.reserved == [mission.id] && calls.stored == ["a.txt"])
    #expect(try await harness.waiting(MissionStore.Topic.settlement) == 1, "the ledger is told with the mission's end")
    #expect(try await harness.store.output(of: mission.id) == nil)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func anUnexpectedErrorFailsTheMissionOnce(_ engine: TestEngine) async throws {
    let runs = Mutex(0)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        runs.withLock { $0 += 1 }
        throw Broken()
      })
    let mission = try await harness.run()
    #expect(mission.state == .failed)
    #expect(mission.error?.code == "INTERNAL")
    #expect(runs.withLock { $0 } == 1)
    #expect(try await harness.waiting(MissionStore.Topic.investment) == 1, "the reservation is to be released")
    #expect(try await harness.waiting(MissionStore.Topic.learning) == 0, "it does not speak against the tool")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatCannotBeStoredAsItIsIsStoredWithoutNUL(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, progress in
        await progress(0.5, "half\0way")
        return Self.output("4\u{0}2")
      })
    #expect(try await harness.run().result?.text == "42")
    let failing = try await PipelineHarness(engine, ScriptedTool { _, _ in throw ToolError("BAD\0", "no\0pe") })
    #expect(try await failing.run().error?.message == "nope")
    #expect(try await failing.waiting(MissionStore.Topic.learning) == 1)
    await harness.close()
    await failing.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aToolIsBoundInTimeAndOutput(_ engine: TestEngine) async throws {
    let slow = try await PipelineHarness(
      engine,
      ScriptedTool(timeLimit: .milliseconds(50)) { _, _ in
        try await Task.sleep(for: .seconds(600))
        return Self.output("late")
      })
    #expect(try await slow.run().error?.code == "TOOL_TIMED_OUT")
    let large = try await PipelineHarness(
      engine, ScriptedTool { _, _ in Self.output(String(repeating: "x", count: 2_000)) })
    #expect(try await large.run().error?.code == "OUTPUT_TOO_LARGE")
    await slow.close()
    await large.close()
  }

  @Test(arguments: TestEngine.allCases)
  func theDeadlineEndsTheTool(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        try await Task.sleep(for: .seconds(600))
        return Self.output("late")
      })
    let mission = try await harness.run(deadline: .milliseconds(500))
    #expect(mission.error?.code == "DEADLINE_EXCEEDED")
    #expect(try await harness.waiting(MissionStore.Topic.learning) == 0)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func cancellingStopsTheToolAndNothingBeginsAfterwards(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        start.finish()
        try await Task.sleep(for: .seconds(600))
        return Self.output("late")
      })
    let mission = try await harness.submit()
    let runner = harness.runner("a")
    await runner.look()
    for await _ in started {}
    try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await runner.stop(mission.id)
    let ended = try await harness.store.mission(mission.id)
    #expect(ended.state == .cancelled)
    #expect(ended.steps.last?.outcome == .cancelled)
    #expect(harness.peers.calls.withLock { $0.stored.isEmpty })
    #expect(try await harness.waiting(MissionStore.Topic.settlement) == 0)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func withoutInvestmentThePolicyDecides(_ engine: TestEngine) async throws {
    let tool = ScriptedTool { _, _ in Self.output("42") }
    let closed = try await PipelineHarness(engine, tool, investmentIsDown: true)
    #expect(try await closed.run().error?.code == "SERVICE_UNAVAILABLE")
    let open = try await PipelineHarness(engine, tool, investmentIsDown: true, withoutInvestment: .open)
    let mission = try await open.run()
    #expect(mission.state == .succeeded)
    #expect(mission.cost == nil)
    #expect(try await open.waiting(MissionStore.Topic.settlement) == 1, "the ledger is told when it is back")
    await closed.close()
    await open.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aMissionGoesOnWhereItStoodAndFinishedStepsDoNotRunAgain(_ engine: TestEngine) async throws {
    let runs = Mutex(0)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        runs.withLock { $0 += 1 }
        return Self.output("42")
      })
    let mission = try await harness.run()
    // As after a crash between the end of the execution step and the start of finalize.
    let again = try await harness.submit()
    let text = StoredToolOutput(text: "from before", bytesRead: 1)
    for step in Step.sequence.prefix(5) {
      try await harness.store.change(again.id, [.begin(step), .complete(step, message: "")]) { mission in
        mission.choice = ToolChoice(tool: "calculate")
      } alongside: { connection in
        if step == .execution { try MissionStore.keep(text, of: again.id, connection) }
      }
    }
    await harness.pipeline.run(try await harness.claim())
    let resumed = try await harness.store.mission(again.id)
    #expect(resumed.state == .succeeded && resumed.result?.text == "from before")
    #expect(runs.withLock { $0 } == 1, "only \(mission.id) ran the tool")
    await harness.close()
  }
}
