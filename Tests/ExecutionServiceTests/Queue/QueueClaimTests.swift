import Foundation
import Logging
import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(3))) struct QueueClaimTests {
  private let holder = LeaseHolder(id: "a", duration: .seconds(600))

  private func claim(_ harness: PipelineHarness, _ limit: Int, _ terms: QueueTerms) async throws -> [Claim] {
    try await harness.store.claim(by: holder, limit: limit, terms: terms)
  }

  /// One owner's ten thousand have waited for an hour when another's one comes.
  @Test(arguments: TestEngine.allCases)
  func tenThousandOfOneOwnerAndOneOfAnother(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    try await harness.fill("mass", 10_000)
    let terms = QueueTerms()
    let first = try await claim(harness, 3, terms)
    #expect(first.map(\.mission.id) == (0..<3).map { "mass \(1_000_000 + $0)" })
    let lone = try await harness.submit(owner: "lone")
    let next = try await claim(harness, 3, terms)
    #expect(next.map(\.mission.owner) == ["lone", "mass", "mass"])
    #expect(next.first?.mission.id == lone.id)
    try await harness.end(first + next)
    // With one place, too, where nothing runs when the next one is chosen: the mass was served before it came.
    let again = try await harness.submit(owner: "lone")
    let turns = [try await claim(harness, 1, terms), try await claim(harness, 1, terms)].flatMap { $0 }
    #expect(turns.map(\.mission.owner) == ["mass", "lone"] && turns.last?.mission.id == again.id)
    try await harness.end(turns)
    _ = try await harness.submit(priority: -100, owner: "lone")
    #expect(try await claim(harness, 2, terms).map(\.mission.owner) == ["mass", "mass"], "priorities count")
    #expect(try await harness.store.countWaiting() == 10_000 - 8 + 1)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func waitingCountsAsPriority(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let old = try await harness.submit()
    let high = try await harness.submit(priority: 10)
    let older = try await harness.submit()
    try await harness.backdate(old.id, by: .seconds(90))
    try await harness.backdate(older.id, by: .seconds(110))
    let claims = try await claim(harness, 3, QueueTerms())
    #expect(claims.map(\.mission.id) == [older.id, high.id, old.id], "ten points are worth 100 s")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatAPointIsWorthCanBeChanged(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let old = try await harness.submit()
    let high = try await harness.submit(priority: 10)
    try await harness.backdate(old.id, by: .seconds(90))
    #expect(try await harness.queue().map(\.missionId) == [high.id, old.id])
    try await harness.store.setAgeing(.seconds(8))
    #expect(try await harness.queue().map(\.missionId) == [old.id, high.id])
    #expect(try await harness.queue().map(\.priority) == [0, 10])
    try await harness.store.setAgeing(.seconds(10))
    #expect(try await harness.queue().map(\.missionId) == [high.id, old.id])
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aNewPriorityMovesAMissionThatWaits(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let first = try await harness.submit()
    let second = try await harness.submit()
    try await harness.store.change(
      second.id, [], prepare: { $0.priority = 5 }, effects: [.releaseReservation])
    #expect(try await harness.queue().map(\.missionId) == [second.id, first.id])
    #expect(try await harness.queue().map(\.priority) == [5, 0])
    let claims = try await claim(harness, 1, QueueTerms())
    try await harness.store.change(
      claims[0].mission.id, [], prepare: { $0.priority = 7 }, effects: [.releaseReservation])
    #expect(try await harness.queue().map(\.missionId) == [first.id], "what runs is not queued by that")
    try await harness.store.release(claims.map(\.lease.lease))
    #expect(try await harness.queue().map(\.priority) == [7, 0])
    await harness.close()
  }

  /// Running ones whose process has died, and running ones that were resumed, go before new ones.
  @Test(arguments: TestEngine.allCases)
  func whatHasBegunGoesBeforeWhatHasNot(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let dead = try await harness.submit(priority: -50)
    _ = try await harness.store.claim(by: LeaseHolder(id: "dead", duration: .zero), limit: 1)
    let paused = try await harness.submit(priority: -60)
    let pausing = try await claim(harness, 2, QueueTerms()).filter { $0.mission.id == paused.id }
    try await harness.store.change(paused.id, [], prepare: { $0.state = .paused }, effects: [.releaseReservation])
    try await harness.store.release(pausing.map(\.lease.lease))
    try await harness.expireLeases()
    let fresh = try await harness.submit(priority: 100)
    #expect(try await harness.store.attention(of: holder) == .init(ended: [], isAnyWaiting: true))
    #expect(try await claim(harness, 9, QueueTerms()).map(\.mission.id) == [dead.id, fresh.id], "a pause holds it")
    try await harness.store.change(paused.id, [], prepare: { $0.state = .running }, effects: [.releaseReservation])
    let another = try await harness.submit(priority: 100)
    let claims = try await claim(harness, 9, QueueTerms())
    #expect(claims.map(\.mission.id) == [paused.id, another.id])
    #expect(claims.first?.lease.lease.fence == 2, "a pause keeps the fence")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatWasThereBeforeTheQueueIsTakenIn(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let (low, high) = (try await harness.submit(), try await harness.submit(priority: 3))
    let running = try await harness.submit(priority: 100)
    let claims = try await claim(harness, 1, QueueTerms())
    #expect(claims.map(\.mission.id) == [running.id])
    try await harness.store.database.write { try $0.execute("UPDATE missions SET rank_us = NULL") }
    #expect(try await claim(harness, 9, QueueTerms()).isEmpty)
    try await harness.store.enqueueForgotten()
    #expect(try await claim(harness, 9, QueueTerms()).map(\.mission.id) == [high.id, low.id])
    await harness.close()
  }

  /// A process of a former version beside this one stores a mission without a rank, and gives one back without.
  @Test(arguments: TestEngine.allCases)
  func whatOthersLeaveOutOfTheQueueIsTakenInFromTimeToTime(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let runner = harness.runner("a")
    let forgotten = ForgottenMissions(
      store: harness.store, interval: .milliseconds(20), logger: .init(label: "test"))
    let loops = [Task { await runner.run() }, Task { await forgotten.run() }]
    for _ in 0..<2 {
      let (mission, _) = try SubmissionRules(
        toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000
      ).mission(from: SubmitMissionRequest(objective: "What is 6 * 7?"), now: .init())
      try await harness.store.database.write { connection in
        try connection.execute(
          """
          INSERT INTO missions (id, owner, state, priority, last_sequence, record, trace_parent)
          VALUES ($1, $2, $3, 0, 0, $4, '')
          """, mission.id, mission.owner, Int(mission.state.rawValue), try mission.bytes())
      }
      try await eventually("it has run") { try await harness.store.mission(mission.id).state == .succeeded }
    }
    for loop in loops { loop.cancel() }
    for loop in loops { await loop.value }
    await harness.close()
  }

  @Test func whatIsForgottenIsFoundByItsIndex() async throws {
    let harness = try await PipelineHarness(.sqlite, PipelineHarness.answer)
    let plan = try await harness.store.database.read { connection in
      try connection.rows("EXPLAIN QUERY PLAN \(MissionStore.forgotten)").map { try $0.text("detail") }
    }.joined(separator: "\n")
    #expect(plan.contains("INDEX missions_unqueued"), "\(plan)")
    await harness.close()
  }

  /// More owners than one look takes in: each has its turn all the same.
  @Test(arguments: TestEngine.allCases)
  func manyOwnersAreLookedThroughInTurns(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let count = WaitingMissions.maximumOwners * 5 / 2
    for owner in 0..<count { try await harness.fill("owner \(owner)", 1) }
    let terms = QueueTerms()
    var owners: Set<String> = []
    for _ in 0..<10 {
      let claims = try await claim(harness, count / 9, terms)
      owners.formUnion(claims.map(\.mission.owner))
      try await harness.end(claims)
    }
    #expect(owners.count == count)
    #expect(terms.shares.cursor.isEmpty, "the last look has seen all that wait")
    await harness.close()
  }

  /// Two processes with one database: what runs of an owner counts wherever it runs.
  @Test(arguments: TestEngine.allCases)
  func twoProcessesShareTheWorkAndAreFairTogether(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    let counts = Mutex<[String: Int]>([:])
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let pipeline = harness.pipeline
    let runners = ["a", "b"].map { name in
      harness.runner(name, limit: 6) { claim in
        counts.withLock { $0["\(name) \(claim.mission.owner)", default: 0] += 1 }
        for await _ in gate {}
        await pipeline.run(claim)
      }
    }
    try await harness.fill("mass", 60)
    await runners[0].look()
    #expect(runners[0].runningCount == 6)
    try await harness.fill("small", 12, since: .seconds(60))
    await runners[1].look()
    try await eventually("both are full") { counts.withLock { $0.values.reduce(0, +) } == 12 }
    #expect(counts.withLock { $0 } == ["a mass": 6, "b small": 6], "six of the one ran, none of the other")
    let loops = runners.map { runner in Task { await runner.run() } }
    open.finish()
    try await eventually("all have run") {
      try await harness.store.countByState()[.failed, default: 0]
        + harness.store.countByState()[.succeeded, default: 0] == 72
    }
    #expect(counts.withLock { $0.values.reduce(0, +) } == 72, "each ran once")
    for loop in loops { loop.cancel() }
    for loop in loops { await loop.value }
    await harness.close()
  }

  /// Neither finished missions, of which there may be any number, nor all that wait are walked through or sorted.
  @Test func choosingFollowsTheIndexOfTheQueue() async throws {
    let harness = try await PipelineHarness(.sqlite, PipelineHarness.answer)
    let statements: [(String, [any ValueConvertible])] = [
      (WaitingMissions.tools, [2]), (WaitingMissions.firsts, [2, "", "a", 10]),
      (WaitingMissions.following, [2, "", "a", 5, "x", 10]), (WaitingMissions.any, [2]),
    ]
    for (statement, arguments) in statements {
      let plan = try await harness.store.database.read { connection in
        try connection.rows("EXPLAIN QUERY PLAN \(statement)", arguments: arguments).map { try $0.text("detail") }
      }.joined(separator: "\n")
      #expect(plan.contains("USING COVERING INDEX missions_queue (state=?"), "\(plan)")
      #expect(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN missions"), "\(plan)")
    }
    await harness.close()
  }
}
