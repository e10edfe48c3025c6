import Messages
import ServiceTestSupport
import Storage
import Synchronization
import Testing

@testable import ExecutionService

/// What missions had produced that ended without success.
@Suite(.timeLimit(.minutes(1))) struct PartialResultTests {
  private static let output = ToolOutput(
    text: "half", artifacts: [ToolArtifact(name: "a.txt", mediaType: "text/plain", text: "half")], bytesRead: 1)

  /// A tool that has produced something when it is stopped, or fails.
  private static func tool(_ started: AsyncStream<Void>.Continuation, fails: Bool = false) -> ScriptedTool {
    ScriptedTool { call, _ in
      call.soFar.set(output)
      started.finish()
      if fails { throw ToolError("BROKEN", "half way") }
      try await Task.sleep(for: .seconds(600))
      return output
    }
  }

  private func waiting(_ harness: PipelineHarness) async throws -> Int {
    try await harness.store.database.read { try $0.first("SELECT count(*) AS n FROM tool_outputs")?.int("n") ?? 0 }
  }

  private func expectKept(_ id: String, _ harness: PipelineHarness, version: Int64) async throws {
    let events = try await harness.events(id).count
    #expect(try await harness.partials.keepDue() == 1)
    let mission = try await harness.store.mission(id)
    #expect(mission.result?.partial == true && mission.result?.text == "half")
    #expect(mission.result?.artifacts.map(\.name) == ["a.txt"])
    #expect(mission.version == version + 1)
    #expect(try await harness.events(id).count == events, "no event comes after the end")
    #expect(try await harness.partials.keepDue() == 0)
    #expect(try await waiting(harness) == 0)
  }

  @Test(arguments: TestEngine.allCases) func ofACancelledToolAreKept(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(engine, Self.tool(start))
    let id = try await harness.submit().id
    let runner = harness.runner("a")
    await runner.look()
    for await _ in started {}
    let cancelled = try await harness.store.change(id, [.cancel(By(actor: "eva"))])
    try await runner.stop(id)
    #expect(try await harness.store.mission(id).result == nil, "the answer does not wait for it")
    try await expectKept(id, harness, version: cancelled.version)
    await harness.close()
  }

  /// Pauses the mission while its tool runs, and returns it.
  private func pausedWhileItRuns(
    _ harness: PipelineHarness, _ runner: MissionRunner, _ started: AsyncStream<Void>
  ) async throws -> Mission {
    let id = try await harness.submit().id
    await runner.look()
    for await _ in started {}
    let reply = try await harness.store.command(.pause, of: id, expectedVersion: 0, requestID: "", request: []) { _ in
      .pause(By(actor: "eva"), isInterruptible: true)
    }
    #expect(reply.mission.state == .paused && reply.mustStop)
    try await runner.stop(id, before: reply.mission.version)
    #expect(try await harness.partials.keepDue() == 0, "the mission has not ended")
    return reply.mission
  }

  private func cancel(_ id: String, _ harness: PipelineHarness) async throws -> Mission {
    try await harness.store.command(.cancel, of: id, expectedVersion: 0, requestID: "", request: []) { _ in
      .cancel(By(actor: "eva"))
    }.mission
  }

  @Test(arguments: TestEngine.allCases) func ofAPausedToolAreKept(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(engine, Self.tool(start))
    let paused = try await pausedWhileItRuns(harness, harness.runner("a"), started)
    let cancelled = try await cancel(paused.id, harness)
    try await expectKept(paused.id, harness, version: cancelled.version)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func ofAPausedToolAreKeptUntilThereIsSomethingNewer(_ engine: TestEngine) async throws {
    for newer in ["", "newer"] {
      let (started, start) = AsyncStream.makeStream(of: Void.self)
      let (again, startAgain) = AsyncStream.makeStream(of: Void.self)
      let calls = Mutex(0)
      let tool = ScriptedTool { call, _ in
        let isFirst = calls.withLock { count in
          count += 1
          return count == 1
        }
        if isFirst { call.soFar.set(Self.output) }
        if !isFirst, !newer.isEmpty { call.soFar.set(ToolOutput(text: newer, artifacts: [], bytesRead: 0)) }
        (isFirst ? start : startAgain).finish()
        try await Task.sleep(for: .seconds(600))
        return Self.output
      }
      let harness = try await PipelineHarness(engine, tool)
      let runner = harness.runner("a")
      let id = try await pausedWhileItRuns(harness, runner, started).id
      try await harness.store.change(id, [.resume(By(actor: "eva"))])
      await runner.look()
      for await _ in again {}
      _ = try await cancel(id, harness)
      try await runner.stop(id)
      #expect(try await harness.partials.keepDue() == 1)
      let result = try await harness.store.mission(id).result
      #expect(result?.partial == true && result?.text == (newer.isEmpty ? "half" : "newer"))
      await harness.close()
    }
  }

  @Test(arguments: TestEngine.allCases)
  func ofAnObjectiveThatWasChangedAreNotKept(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(engine, Self.tool(start))
    let id = try await pausedWhileItRuns(harness, harness.runner("a"), started).id
    #expect(try await waiting(harness) == 1)
    try await harness.store.database.write { connection in
      let before = try MissionStore.load(id, connection).mission
      var after = before
      after.objective = "What is 6 * 8?"
      try MissionStore.dropPartial(of: after, before: before, connection)
    }
    #expect(try await waiting(harness) == 0)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func ofAFailedToolAreKept(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool(AsyncStream.makeStream().continuation, fails: true))
    let failed = try await harness.run()
    #expect(failed.error?.code == "BROKEN")
    try await expectKept(failed.id, harness, version: failed.version)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func ofAFinishedToolAreKept(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, ScriptedTool { _, _ in Self.output })
    let mission = try await harness.submit()
    for step in Step.sequence.prefix(5) {
      try await harness.store.change(mission.id, [.begin(step), .complete(step, message: "")]) { _ in
      } alongside: { connection in
        if step == .execution { try MissionStore.keep(Self.output.stored, of: mission.id, connection) }
      }
    }
    #expect(try await harness.partials.keepDue() == 0, "the mission goes on")
    let cancelled = try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await expectKept(mission.id, harness, version: cancelled.version)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func areKeptOnceArtifactsCanBeStored(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool(AsyncStream.makeStream().continuation, fails: true))
    harness.peers.refusing.withLock { $0 = true }
    let failed = try await harness.run()
    #expect(try await harness.partials.keepDue() == 1)
    #expect(try await harness.store.mission(failed.id).result == nil)
    #expect(try await harness.partials.keepDue() == 0, "it is tried again after a pause")
    harness.peers.refusing.withLock { $0 = false }
    try await harness.store.database.write { try $0.execute("UPDATE tool_outputs SET due_us = 0") }
    try await expectKept(failed.id, harness, version: failed.version)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases) func areNotMadeOfWhatSucceedsOrGoesOn(_ engine: TestEngine) async throws {
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(engine, Self.tool(start))
    let claim = try await { _ = try await harness.submit(); return try await harness.claim() }()
    let run = Task { await harness.pipeline.run(claim) }
    for await _ in started {}
    run.cancel()
    await run.value
    #expect(try await harness.partials.keepDue() == 0, "a run that is stopped while its mission goes on is no end")
    let done = try await PipelineHarness(engine, ScriptedTool { _, _ in Self.output })
    #expect(try await done.run().result?.partial == false)
    #expect(try await waiting(done) == 0)
    await harness.close()
    await done.close()
  }
}
