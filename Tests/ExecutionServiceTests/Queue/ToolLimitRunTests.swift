import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Missions whose tool is full give their places back.
@Suite(.timeLimit(.minutes(2))) struct ToolLimitRunTests {
  /// How many calls run now, and the most at a time.
  private final class Meter: Sendable {
    private let counts = Mutex((now: 0, most: 0, all: 0))

    func enter() {
      counts.withLock { counts in
        counts.now += 1
        counts.all += 1
        counts.most = max(counts.most, counts.now)
      }
    }
    func leave() { counts.withLock { $0.now -= 1 } }
    var now: Int { counts.withLock { $0.now } }
    var most: Int { counts.withLock { $0.most } }
    var all: Int { counts.withLock { $0.all } }
  }

  private func limited(_ harness: PipelineHarness, to limit: Int) -> (Pipeline, QueueTerms) {
    let terms = QueueTerms(places: ToolPlaces(ToolLimits(["calculate": limit])))
    var pipeline = harness.pipeline
    pipeline.places = terms.places
    return (pipeline, terms)
  }

  @Test(arguments: TestEngine.allCases)
  func sixtyFourPlacesAndAToolWithTwo(_ engine: TestEngine) async throws {
    let meter = Meter()
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        meter.enter()
        defer { meter.leave() }
        for await _ in gate {}
        try await Task.sleep(for: .milliseconds(1))
        return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
      })
    let (pipeline, terms) = limited(harness, to: 2)
    let runner = harness.runner("a", limit: 64, terms: terms, run: pipeline.run)
    let loop = Task { await runner.run() }
    var ids: [String] = []
    for number in 0..<80 { ids.append(try await harness.submit(owner: "owner \(number % 3)").id) }
    try await eventually("all but two wait for the tool") {
      try await harness.queue().count { $0.waitingFor == "calculate" } == 78
    }
    try await eventually("those that wait have given their places back") { runner.runningCount == 2 }
    #expect(meter.now == 2)
    let waiting = try #require(try await harness.queue().first)
    let mission = try await harness.store.mission(waiting.missionId)
    #expect(mission.state == .running && mission.waitingFor == "the tool calculate")
    #expect(mission.steps.map(\.outcome) == Array(repeating: .completed, count: 4))
    open.finish()
    for id in ids {
      try await eventually("\(id) has ended") { try await harness.store.mission(id).state == .succeeded }
    }
    #expect(meter.most == 2 && meter.all == 80)
    try await eventually("all places are free") { terms.places.running("calculate") == 0 }
    let ended = try await harness.store.mission(mission.id)
    #expect(ended.waitingFor.isEmpty && ended.steps.map(\.step) == Step.sequence)
    #expect(try await harness.store.countWaiting() == 0)
    loop.cancel()
    await loop.value
    await harness.close()
  }

  /// A mission that waits for a tool has its budget reserved: of these one owner has no more than it may, and others
  /// are not kept waiting by that.
  @Test(arguments: TestEngine.allCases)
  func anOwnersNewMissionsWaitForItsBegunOnes(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let (pipeline, standard) = limited(harness, to: 1)
    var terms = standard
    terms.toolQueue = 3
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    _ = try await harness.submit(owner: "other")
    let blocker = try #require(try await harness.store.claim(by: holder, limit: 1, terms: terms).first)
    #expect(terms.places.take("calculate", for: blocker.lease.lease))
    for _ in 0..<9 { _ = try await harness.submit(owner: "mass") }
    var begun = 0
    while let claim = try await harness.store.claim(by: holder, limit: 1, terms: terms).first {
      begun += 1
      await pipeline.run(claim)
    }
    #expect(begun == 3)
    #expect(try await harness.queue().map(\.waitingFor).filter { $0 == "calculate" }.count == 3)
    _ = try await harness.submit(owner: "other")
    #expect(try await harness.store.claim(by: holder, limit: 9, terms: terms).map(\.mission.owner) == ["other"])
    terms.places.leave(blocker.lease.lease)
    let next = try await harness.store.claim(by: holder, limit: 9, terms: terms)
    #expect(next.map(\.mission.owner) == ["mass"], "one goes on; with its two still waiting new ones may begin")
    #expect(try await harness.store.claim(by: holder, limit: 9, terms: terms).count == 6)
    await harness.close()
  }

  /// With one place in all and one at the tool nothing ever waits for the tool, nor do the two wait for each other.
  @Test(arguments: TestEngine.allCases)
  func thePlaceAndTheToolNeverWaitForEachOther(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    for (places, calls) in [(1, 1), (2, 1), (3, 2)] {
      let (pipeline, terms) = limited(harness, to: calls)
      let runner = harness.runner("a \(places)", limit: places, terms: terms, run: pipeline.run)
      let loop = Task { await runner.run() }
      var ids: [String] = []
      for _ in 0..<12 { ids.append(try await harness.submit().id) }
      for id in ids {
        try await eventually("\(id) has ended") { try await harness.store.mission(id).state == .succeeded }
      }
      loop.cancel()
      await loop.value
      await runner.stopAll()
    }
    await harness.close()
  }

  /// What was interrupted in its call takes a place like any other when it goes on.
  @Test(arguments: TestEngine.allCases)
  func goingOnWithACallTakesAPlaceToo(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    for _ in 0..<3 {
      let mission = try await harness.submit()
      for step in Step.sequence.prefix(4) {
        try await harness.store.change(mission.id, [.begin(step), .complete(step, message: "")]) {
          $0.choice = ToolChoice(tool: "calculate")
        }
      }
    }
    let (pipeline, terms) = limited(harness, to: 1)
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    let claims = try await harness.store.claim(by: holder, limit: 10, terms: terms)
    #expect(claims.count == 1 && terms.places.running("calculate") == 1)
    #expect(try await harness.queue().map(\.waitingFor) == ["calculate", "calculate"])
    #expect(try await harness.store.claim(by: holder, limit: 10, terms: terms).isEmpty)
    #expect(try await harness.queue().count == 2, "asking again costs nobody its place")
    await pipeline.run(try #require(claims.first))
    #expect(terms.places.running("calculate") == 0, "free when the call is over")
    let next = try await harness.store.claim(by: holder, limit: 10, terms: terms)
    #expect(next.count == 1)
    #expect(next.first?.mission.waitingFor == "" && next.first?.mission.currentStep == .execution)
    await harness.close()
  }

  /// Somebody who comes to a tool with a free place does not take it from those who wait for it.
  @Test(arguments: TestEngine.allCases)
  func nobodyOvertakesWhoWaitsForTheTool(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let (pipeline, terms) = limited(harness, to: 1)
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    let first = try await harness.submit(owner: "a")
    let blocker = try #require(try await harness.store.claim(by: holder, limit: 1, terms: terms).first)
    #expect(terms.places.take("calculate", for: blocker.lease.lease))
    let second = try await harness.submit(owner: "a")
    await pipeline.run(try #require(try await harness.store.claim(by: holder, limit: 1, terms: terms).first))
    let third = try await harness.submit(priority: 100, owner: "a")
    let late = try #require(try await harness.store.claim(by: holder, limit: 1, terms: terms).first)
    #expect(late.mission.id == third.id && terms.places.running("calculate") == 1)
    terms.places.leave(blocker.lease.lease)
    await pipeline.run(late)
    #expect(try await harness.queue().map(\.missionId) == [third.id, second.id], "by priority, now that both wait")
    #expect(try await harness.store.mission(first.id).state == .running)
    await harness.close()
  }
}
