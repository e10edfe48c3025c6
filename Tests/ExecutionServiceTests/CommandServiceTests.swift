import Messages
import RPC
import ServiceTestSupport
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// The commands over a real connection, with a runner at work.
private struct Fixture {
  let harness: PipelineHarness
  let missions: MissionsClient
  private let runner: MissionRunner
  private let server: Server
  private let loop: Task<Void, Never>

  init(_ engine: TestEngine, _ tool: ScriptedTool) async throws {
    let harness = try await PipelineHarness(engine, tool)
    let runner = harness.runner("a")
    let rules = SubmissionRules(
      toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)
    var router = Router()
    router.register(
      MissionsService(store: harness.store, runner: runner, toolbox: Toolbox(tools: [tool]), rules: rules))
    let server = Server(router: router)
    missions = MissionsClient(
      Client(host: "127.0.0.1", port: try await server.start(host: "127.0.0.1", port: 0).port))
    (self.harness, self.runner, self.server) = (harness, runner, server)
    loop = Task { await runner.run() }
  }

  func submit() async throws -> String {
    try await missions.submit(SubmitMissionRequest(objective: "What is 6 * 7?", parameters: ["a": "1"])).id
  }

  func state(_ id: String) async throws -> MissionState { try await missions.get(GetMissionRequest(id: id)).state }

  func hasSucceeded(_ id: String) async throws -> Mission {
    try await eventually("\(id) succeeds") { try await state(id) == .succeeded }
    return try await missions.get(GetMissionRequest(id: id))
  }

  func close() async {
    loop.cancel()
    await loop.value
    await runner.stopAll()
    await server.shutdown(grace: .seconds(1))
    await harness.close()
  }
}

/// A tool whose first call waits until it is let go or cancelled; it notes what it was called with.
private final class FirstCallWaits: Sendable {
  let calls = Mutex<[ToolCall]>([])
  let begun = AsyncStream.makeStream(of: Void.self)
  let gate = AsyncStream.makeStream(of: Void.self)

  func tool(hasSideEffects: Bool = false, isIdempotent: Bool = true) -> ScriptedTool {
    ScriptedTool(hasSideEffects: hasSideEffects, isIdempotent: isIdempotent) { call, _ in
      let number = self.calls.withLock { calls in
        calls.append(call)
        return calls.count
      }
      if number == 1 {
        self.begun.continuation.finish()
        for await _ in self.gate.stream {}
        try Task.checkCancellation()
      }
      return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
    }
  }

  func hasBegun() async { for await _ in begun.stream {} }
}

@Suite(.timeLimit(.minutes(2))) struct CommandServiceTests {
  @Test(arguments: TestEngine.allCases) func pauseStopsTheToolAndResumeBeginsItAnew(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool())
    let id = try await fixture.submit()
    await tool.hasBegun()
    let request = PauseMissionRequest(id: id, actor: "eva", reason: "lunch", requestId: "r")
    let paused = try await fixture.missions.pause(request)
    #expect(paused.state == .paused && paused.changes.last?.step == .execution)
    #expect(try await fixture.harness.liveLeases() == 0, "nothing of it runs after the answer")
    #expect(try await fixture.missions.pause(request) == paused)
    #expect(try await fixture.missions.resume(ResumeMissionRequest(id: id, actor: "eva")).state == .running)
    let mission = try await fixture.hasSucceeded(id)
    #expect(try await fixture.missions.pause(request) == paused, "the first answer still")
    #expect(tool.calls.withLock { $0.count } == 2)
    #expect(mission.steps.filter { $0.step == .execution }.map(\.outcome) == [.interrupted, .completed])
    #expect(mission.steps.filter { $0.step == .budget }.map(\.outcome) == [.completed])
    await fixture.close()
  }

  @Test(arguments: TestEngine.allCases) func whatTakesEffectTwiceIsNotInterrupted(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool(hasSideEffects: true, isIdempotent: false))
    let id = try await fixture.submit()
    await tool.hasBegun()
    let asked = try await fixture.missions.pause(PauseMissionRequest(id: id, actor: "eva"))
    #expect(asked.state == .running && asked.changes.last?.applied == false && asked.changes.last?.step == .execution)
    await #expect {
      try await fixture.missions.modify(ModifyMissionRequest(id: id, setParameters: ["a": "2"]))
    } throws: { ($0 as? Status)?.code == .failedPrecondition }
    tool.gate.continuation.finish()
    try await eventually("it is paused") { try await fixture.state(id) == .paused }
    let paused = try await fixture.missions.get(GetMissionRequest(id: id))
    #expect(paused.changes.last?.applied == true && paused.currentStep == .finalize)
    _ = try await fixture.missions.resume(ResumeMissionRequest(id: id, actor: "eva"))
    _ = try await fixture.hasSucceeded(id)
    #expect(tool.calls.withLock { $0.count } == 1)
    await fixture.close()
  }

  @Test(arguments: TestEngine.allCases) func otherParametersReachTheToolAndOnlyIt(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool())
    let id = try await fixture.submit()
    await tool.hasBegun()
    // A tool without side effects runs ahead of what is stored.
    try await eventually("the call is stored") {
      try await fixture.missions.get(GetMissionRequest(id: id)).runningStep == .execution
    }
    let before = try await fixture.missions.get(GetMissionRequest(id: id))
    let request = ModifyMissionRequest(
      id: id, actor: "eva", expectedVersion: before.version, requestId: "r", setParameters: ["a": "2"])
    let modified = try await fixture.missions.modify(request)
    #expect(modified.changes.last?.staleSteps == [.execution] && modified.changes.last?.fields == ["parameters"])
    // The former run: what it comes to does not count, if it comes to anything.
    tool.gate.continuation.finish()
    let mission = try await fixture.hasSucceeded(id)
    #expect(tool.calls.withLock { $0.map { $0.parameters["a"] } } == ["1", "2"])
    #expect(mission.steps.filter { $0.step == .selection }.count == 1)
    #expect(try await fixture.missions.modify(request) == modified)
    await #expect {
      try await fixture.missions.modify(ModifyMissionRequest(id: id, requestId: "r", setParameters: ["a": "3"]))
    } throws: { ($0 as? Status)?.code == .alreadyExists }
    await fixture.close()
  }

  @Test(arguments: TestEngine.allCases) func anotherObjectiveRunsAnewFromTheIntent(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool())
    let id = try await fixture.submit()
    await tool.hasBegun()
    let modified = try await fixture.missions.modify(
      ModifyMissionRequest(id: id, objective: .init(value: "What is 7 * 8?")))
    #expect(modified.changes.last?.staleSteps == [.intent, .budget, .selection, .execution])
    tool.gate.continuation.finish()
    let mission = try await fixture.hasSucceeded(id)
    #expect(tool.calls.withLock { $0.map(\.objective) } == ["What is 6 * 7?", "What is 7 * 8?"])
    #expect(fixture.harness.peers.calls.withLock { $0.reserved } == [id, id], "the budget step ran anew")
    #expect(mission.steps.filter { $0.step == .verification }.count == 1)
    #expect(try await fixture.harness.waiting(MissionStore.Topic.settlement) == 1)
    await fixture.close()
  }

  @Test(arguments: TestEngine.allCases) func anAnswerLetsTheMissionGoOn(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool())
    let id = try await fixture.submit()
    await tool.hasBegun()
    let question = Question(prompt: "Which one?", kind: .choice, options: ["a", "b"])
    let asking = try await fixture.harness.store.change(id, [.ask(.execution, question)])
    tool.gate.continuation.finish()
    let open = try #require(asking.question?.id)
    func answer(_ id: String, question: String, _ value: Answer.Value) async throws -> Mission {
      try await fixture.missions.answer(
        AnswerMissionRequest(id: id, actor: "eva", questionId: question, answer: Answer(value: value)))
    }
    await #expect { try await answer(id, question: "x", .choice("a")) } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
    await #expect { try await answer(id, question: open, .choice("c")) } throws: {
      ($0 as? Status)?.code == .invalidArgument
    }
    #expect(try await answer(id, question: open, .choice("b")).answers.map(\.answer?.value) == [.choice("b")])
    _ = try await fixture.hasSucceeded(id)
    await fixture.close()
  }

  @Test(arguments: TestEngine.allCases) func commandsAreCheckedBeforeTheyAreTaken(_ engine: TestEngine) async throws {
    let tool = FirstCallWaits()
    let fixture = try await Fixture(engine, tool.tool())
    let mission = try await fixture.missions.submit(
      SubmitMissionRequest(objective: "What is 6 * 7?", requireApproval: true))
    let (id, missions) = (mission.id, fixture.missions)
    let long = String(repeating: "x", count: 1_001)
    #expect(await Self.code { try await missions.cancel(.init(id: id, reason: long)) } == .invalidArgument)
    let longID = String(long.prefix(201))
    #expect(await Self.code { try await missions.approve(.init(id: id, requestId: longID)) } == .invalidArgument)
    #expect(await Self.code { try await missions.approve(.init(id: id, expectedVersion: 9)) } == .aborted)
    #expect(await Self.code { try await missions.approve(.init(id: "nobody")) } == .notFound)
    #expect(await Self.code { try await missions.pause(.init(id: id)) } == .failedPrecondition)
    #expect(await Self.code { try await missions.modify(.init(id: id)) } == .invalidArgument)
    #expect(await Self.code { try await missions.answer(.init(id: id, questionId: "q")) } == .invalidArgument)
    let approved = try await missions.approve(.init(id: id, requestId: "r"))
    #expect(approved.state == .approved && approved.changes.last?.actor == "anonymous")
    #expect(await Self.code { try await missions.reject(.init(id: id, requestId: "r")) } == .alreadyExists)
    let cancelled = try await missions.cancel(.init(id: id, actor: String(long.prefix(300)), requestId: "c"))
    #expect(cancelled.state == .cancelled && cancelled.changes.last?.actor.count == 100)
    #expect(try await missions.cancel(.init(id: id, actor: String(long.prefix(300)), requestId: "c")) == cancelled)
    tool.gate.continuation.finish()
    await fixture.close()
  }

  /// What a call fails with; nil where it does not.
  private static func code(_ call: () async throws -> Mission) async -> Status.Code? {
    do {
      _ = try await call()
      return nil
    } catch {
      return (error as? Status)?.code
    }
  }
}
