import Messages
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import ExecutionService

/// Commands that stop a run without ending its mission.
@Suite(.timeLimit(.minutes(2))) struct InterruptionTests {
  /// What a modification that makes the running step stale does to the database.
  private func interrupt(_ id: String, _ harness: PipelineHarness) async throws -> Mission {
    try await harness.store.change(id, [], effects: [.releaseReservation]) { connection in
      try connection.execute("UPDATE missions SET stop_wanted = 1 WHERE id = $1", id)
    }
  }

  @Test(arguments: TestEngine.allCases)
  func anInterruptedRunStopsAndTheMissionIsClaimedAnew(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let runner = harness.runner("a")
    await runner.look()
    for await _ in begun {}
    let changed = try await interrupt(mission.id, harness)
    #expect(changed.state == .running)
    try await runner.stop(mission.id, before: changed.version)
    #expect(runner.runningCount == 0)
    #expect(try await harness.queue().map(\.missionId) == [mission.id])
    await runner.look()
    try await eventually("it went on") { try await harness.store.mission(mission.id).state == .succeeded }
    await runner.stopAll()
    #expect(try await harness.leases() == 0)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aRunElsewhereIsStoppedByNotification(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let first = harness.runner("a", run: { [pipeline = harness.pipeline] in await pipeline.run($0) })
    await first.look()
    for await _ in begun {}
    let changed = try await interrupt(mission.id, harness)
    #expect(try await harness.store.attention(of: LeaseHolder(id: "a", duration: .zero)).ended == [mission.id])
    first.stopClaiming()
    let loop = Task { await first.run() }
    try await harness.runner("b").stop(mission.id, before: changed.version)
    #expect(try await harness.queue().map(\.missionId) == [mission.id])
    loop.cancel()
    await loop.value
    await harness.close()
  }

  /// A run that began after the command is not the one to stop, and stopping does not wait for it.
  @Test(arguments: TestEngine.allCases)
  func aRunThatBeganSinceGoesOn(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let before = try await harness.store.mission(mission.id)
    let runner = harness.runner("a")
    await runner.look()
    for await _ in begun {}
    try await runner.stop(mission.id, before: before.version)
    #expect(runner.runningCount == 1)
    await runner.stopAll()
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aPauseGivesPlaceAndLeaseBack(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let terms = QueueTerms(places: ToolPlaces(ToolLimits(["calculate": 1])))
    var pipeline = harness.pipeline
    pipeline.places = terms.places
    let runner = harness.runner("a", limit: 1, terms: terms, run: pipeline.run)
    let loop = Task { await runner.run() }
    for await _ in begun {}
    #expect(terms.places.running("calculate") == 1)
    try await harness.store.change(mission.id, [], prepare: { $0.state = .paused }, effects: [.releaseReservation])
    try await runner.stop(mission.id)
    #expect(runner.runningCount == 0 && terms.places.running("calculate") == 0)
    #expect(try await harness.store.countWaiting() == 0)
    let other = try await harness.submit()
    try await eventually("another one has its place") {
      try await harness.store.mission(other.id).state == .succeeded
    }
    #expect(try await harness.store.mission(mission.id).state == .paused)
    try await harness.store.change(mission.id, [], prepare: { $0.state = .running }, effects: [.releaseReservation])
    try await eventually("it goes on") { try await harness.store.mission(mission.id).state == .succeeded }
    loop.cancel()
    await loop.value
    await harness.close()
  }
}
