import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Runners that share a database, as several processes do.
@Suite(.timeLimit(.minutes(2))) struct MissionRunnerTests {
  private static let answer = ScriptedTool { _, _ in ToolOutput(text: "42", artifacts: [], bytesRead: 1) }

  private func expectWhole(_ id: String, _ harness: PipelineHarness) async throws {
    let events = try await harness.events(id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(events.filter { $0.type == .stepCompleted }.map(\.step) == Step.sequence)
    #expect(events.last?.state == .succeeded)
  }

  @Test(arguments: TestEngine.allCases)
  func theLimitHoldsAndHigherPriorityGoesFirst(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let order = Mutex<[String]>([])
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let pipeline = harness.pipeline
    let runner = harness.runner("a", limit: 1) { claim in
      order.withLock { $0.append(claim.mission.id) }
      for await _ in gate {}
      await pipeline.run(claim)
    }
    var ids: [String] = []
    ids.append(try await harness.submit().id)
    await runner.look()
    for priority: Int32 in [-5, 0, 9, 0, 100] { ids.append(try await harness.submit(priority: priority).id) }
    await runner.look()
    #expect(runner.runningCount == 1)
    let running = Task { await runner.run() }
    open.finish()
    try await eventually("all have run") { order.withLock { $0.count } == 6 && runner.runningCount == 0 }
    #expect(order.withLock { $0 } == [0, 5, 3, 2, 4, 1].map { ids[$0] })
    #expect(try await harness.leases() == 0, "an ended mission has no lease")
    running.cancel()
    await running.value
    await runner.stopAll()
    _ = try await harness.submit()
    await runner.look()
    #expect(order.withLock { $0.count } == 6, "a stopped runner claims nothing")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func twoShareTheWorkAndEachMissionRunsOnce(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let shares = Mutex<[String: Int]>([:])
    let pipeline = harness.pipeline
    let runners = ["a", "b"].map { name in
      harness.runner(name, limit: 4) { claim in
        shares.withLock { $0[name, default: 0] += 1 }
        await pipeline.run(claim)
      }
    }
    let loops = runners.map { runner in Task { await runner.run() } }
    var ids: [String] = []
    for _ in 0..<40 { ids.append(try await harness.submit().id) }
    for id in ids {
      try await eventually("\(id) has ended") { try await harness.store.mission(id).state.isTerminal }
      try await expectWhole(id, harness)
    }
    #expect(try await harness.waiting(MissionStore.Topic.settlement) == 40, "each is paid for once")
    #expect(shares.withLock { $0.values.reduce(0, +) } == 40)
    #expect(shares.withLock { $0.count } == 2, "both took some")
    for loop in loops { loop.cancel() }
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aFrozenProcessLosesItsMissionAndWritesNothingMore(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit()
    let frozen = try await harness.claim("frozen")
    try await harness.store.change(
      mission.id, under: frozen.lease, [.complete(.verification, message: ""), .begin(.intent)])
    try await harness.expireLeases()
    let runner = harness.runner("b")
    await runner.look()
    try await eventually("it was taken over") { try await harness.store.mission(mission.id).state == .succeeded }
    await runner.stopAll()
    let ended = try await harness.store.mission(mission.id)
    await #expect(throws: LeaseLost.self) {
      try await harness.store.change(mission.id, under: frozen.lease, [.complete(.intent, message: "stale")])
    }
    await harness.pipeline.run(frozen)
    #expect(frozen.lease.ending == .lost)
    #expect(try await harness.store.mission(mission.id) == ended)
    try await expectWhole(mission.id, harness)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func noToolStartsUnderALeaseThatMayBeOver(_ engine: TestEngine) async throws {
    let runs = Mutex(0)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        runs.withLock { $0 += 1 }
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      })
    let mission = try await harness.submit()
    let claim = try await harness.claim("slow", for: .zero)
    #expect(!claim.lease.isLive)
    await harness.pipeline.run(claim)
    #expect(claim.lease.ending == .lost && runs.withLock { $0 } == 0)
    claim.lease.extend(until: .now + .seconds(600))
    #expect(!claim.lease.isLive, "what was lost stays lost")
    await harness.pipeline.run(try await harness.claim("b"))
    #expect(try await harness.store.mission(mission.id).state == .succeeded)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aLostLeaseStopsTheTool(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let runner = harness.runner("a", leases: .milliseconds(900))
    let loop = Task { await runner.run() }
    for await _ in begun {}
    // Another process claims it, although it was renewed: as if this one had been frozen meanwhile.
    let taken = try await harness.store.database.write { connection in
      try connection.execute("UPDATE leases SET expires_us = 0")
      return try Lease.claim(mission.id, by: LeaseHolder(id: "b", duration: .seconds(600)), in: connection)
    }
    // More where this process was so slow that it had lost the lease before, and had claimed it again.
    #expect(try #require(taken).fence >= 2)
    try await eventually("the tool was stopped") { runner.runningCount == 0 }
    #expect(try await harness.store.mission(mission.id).state == .running)
    loop.cancel()
    await loop.value
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func renewedLeasesOutliveTheirDuration(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let runner = harness.runner("a", leases: .seconds(3))
    let loop = Task { await runner.run() }
    for await _ in begun {}
    func expiry() async throws -> Int64 {
      try await harness.store.database.read { try $0.first("SELECT expires_us FROM leases")?.int64("expires_us") ?? 0 }
    }
    let first = try await expiry()
    try await eventually("it is renewed past its first end") { try await expiry() > first + 3_000_000 }
    #expect(try await harness.store.claim(by: LeaseHolder(id: "b", duration: .seconds(3)), limit: 1).isEmpty)
    try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await runner.stop(mission.id)
    loop.cancel()
    await loop.value
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aCleanStopHandsOverAtOnce(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let first = harness.runner("a")
    await first.look()
    for await _ in begun {}
    let second = harness.runner("b")
    let loop = Task { await second.run() }
    await first.stopAll()
    // Its lease would have lasted for ten minutes.
    try await eventually("it goes on elsewhere") { try await harness.store.mission(mission.id).state == .succeeded }
    try await expectWhole(mission.id, harness)
    loop.cancel()
    await loop.value
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatAToolMakesOfBeingStoppedIsNoFailure(_ engine: TestEngine) async throws {
    let (begun, begin) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        begin.finish()
        try? await Task.sleep(for: .seconds(600))
        throw ToolError("FETCH_FAILED", "the connection broke")
      })
    let mission = try await harness.submit()
    let runner = harness.runner("a")
    await runner.look()
    for await _ in begun {}
    await runner.stopAll()
    #expect(try await harness.store.mission(mission.id).state == .running)
    #expect(try await harness.store.attention(of: LeaseHolder(id: "b", duration: .seconds(9))).isAnyWaiting)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func cancelStopsWhatRunsElsewhere(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let mission = try await harness.submit()
    let first = harness.runner("a")
    let loop = Task { await first.run() }
    for await _ in begun {}
    let second = harness.runner("b")
    try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await second.stop(mission.id)
    #expect(try await harness.leases() == 0, "its holder has stopped it and given the lease back")
    #expect(harness.peers.calls.withLock { $0.stored.isEmpty })
    #expect(try await harness.waiting(MissionStore.Topic.settlement) == 0)
    #expect(try await harness.store.mission(mission.id).state == .cancelled)
    loop.cancel()
    await loop.value
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func cancelWaitsNoLongerThanTheLeaseOfAFrozenProcess(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit()
    let frozen = try await harness.claim("frozen", for: .milliseconds(300))
    try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await harness.runner("b").stop(mission.id)
    #expect(!frozen.lease.isLive, "no effect can begin after the answer")
    #expect(try await harness.leases() == 0)
    let holder = LeaseHolder(id: "frozen", duration: .seconds(600))
    let renewed = try await harness.store.renew([frozen.lease.lease], of: holder)
    #expect(renewed.kept.isEmpty && renewed.taken.isEmpty)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aProcessThatIsAloneGoesOnAtOnce(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit()
    _ = try await harness.claim("killed")
    #expect(try await harness.store.claim(by: LeaseHolder(id: "new", duration: .seconds(600)), limit: 1).isEmpty)
    try await harness.store.expireLeases()
    await harness.pipeline.run(try await harness.claim("new"))
    try await expectWhole(mission.id, harness)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aMissionThatCannotBeReadIsNotInTheOthersWay(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let broken = try await harness.submit(priority: 100)
    let good = try await harness.submit()
    try await harness.store.database.write { connection in
      try connection.execute("UPDATE missions SET record = $2 WHERE id = $1", broken.id, [UInt8]([0xFF, 0xFF]))
    }
    let runner = harness.runner("a", limit: 1)
    let loop = Task { await runner.run() }
    try await eventually("the other one ran") { try await harness.store.mission(good.id).state == .succeeded }
    loop.cancel()
    await loop.value
    await harness.close()
  }

  /// A write that hangs, as that to a database which cannot be reached, takes longer than the lease.
  @Test(arguments: TestEngine.allCases)
  func aRunIsStoppedBeforeItsLeaseEndsThoughNoRenewalReturns(_ engine: TestEngine) async throws {
    let (tool, begun) = ScriptedTool.blockingOnce()
    let harness = try await PipelineHarness(engine, tool)
    let stoppedAs = Mutex<HeldLease.Ending?>(nil)
    let pipeline = harness.pipeline
    let runner = harness.runner("a", leases: .seconds(2)) { claim in
      await withTaskCancellationHandler {
        await pipeline.run(claim)
      } onCancel: {
        stoppedAs.withLock { $0 = claim.lease.ending }
      }
    }
    let loop = Task { await runner.run() }
    _ = try await harness.submit()
    for await _ in begun {}
    let held = try await HeldWriter(harness.store.database)
    try await eventually("the run is stopped while nothing can be written") { stoppedAs.withLock { $0 } == .lost }
    held.letGo()
    try await eventually("it has run in the end") { runner.runningCount == 0 }
    loop.cancel()
    await loop.value
    await runner.stopAll()
    await harness.close()
  }
}
