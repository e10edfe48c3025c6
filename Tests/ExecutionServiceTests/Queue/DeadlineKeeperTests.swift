import Foundation
import Logging
import Messages
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(2))) struct DeadlineKeeperTests {
  private static let answer = ScriptedTool { _, _ in ToolOutput(text: "42", artifacts: [], bytesRead: 1) }

  private func keeper(
    _ harness: PipelineHarness, stop: @escaping @Sendable (String) -> Void = { _ in }
  ) -> DeadlineKeeper {
    DeadlineKeeper(store: harness.store, logger: .init(label: "test"), stop: stop)
  }

  /// As a modification would, whatever the state.
  private func setDeadline(_ id: String, _ deadline: Date?, _ harness: PipelineHarness) async throws {
    try await harness.store.change(
      id, [], prepare: { $0.deadline = deadline.map(GoogleProtobufTimestamp.init) }, effects: [.releaseReservation])
  }

  @Test(arguments: TestEngine.allCases)
  func whateverTheStateTheDeadlineEndsIt(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    var ids: [String] = []
    for state in [MissionState.pendingApproval, .approved, .running, .paused, .awaitingInput] {
      let mission = try await harness.submit(deadline: .seconds(3_600))
      if state == .running { try await harness.store.change(mission.id, [.begin(.verification)]) }
      // Whatever leads there.
      try await harness.store.change(mission.id, [], prepare: { $0.state = state }, effects: [.releaseReservation])
      ids.append(mission.id)
    }
    let other = try await harness.submit(deadline: .seconds(3_600))
    let ended = try await harness.submit(deadline: .seconds(3_600))
    try await harness.store.change(ended.id, [.cancel(By(actor: "eva"))])
    let keeper = keeper(harness)
    #expect(await keeper.look() == DeadlineKeeper.pollInterval)
    for id in ids + [ended.id] { try await setDeadline(id, Date(timeIntervalSinceNow: -1), harness) }
    _ = await keeper.look()
    for id in ids {
      let mission = try await harness.store.mission(id)
      #expect(mission.state == .failed && mission.error?.code == "DEADLINE_EXCEEDED")
      #expect(mission.steps.allSatisfy { $0.outcome == .failed })
      #expect(try await harness.events(id).last?.error?.code == "DEADLINE_EXCEEDED")
    }
    #expect(try await harness.store.mission(other.id).state == .approved)
    #expect(try await harness.store.mission(ended.id).state == .cancelled)
    #expect(try await harness.store.queue(QueueTerms(), limit: 1, owner: "", after: 0, atMost: 9).waiting == 1)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aDeadlineThatIsChangedCountsAtOnce(_ engine: TestEngine) async throws {
    let (begun, begin) = AsyncStream.makeStream(of: Void.self)
    let stopped = Mutex(false)
    let harness = try await PipelineHarness(
      engine,
      ScriptedTool { _, _ in
        begin.finish()
        do {
          try await Task.sleep(for: .seconds(600))
        } catch {
          stopped.withLock { $0 = true }
          throw error
        }
        return ToolOutput(text: "late", artifacts: [], bytesRead: 1)
      })
    let runner = harness.runner("a")
    let keeper = keeper(harness, stop: runner.cancelRuns)
    let loops = [Task { await runner.run() }, Task { await keeper.run() }]
    let mission = try await harness.submit(deadline: .seconds(3_600))
    for await _ in begun {}
    try await setDeadline(mission.id, Date(timeIntervalSinceNow: 0.1), harness)
    try await eventually("it has ended") { try await harness.store.mission(mission.id).state == .failed }
    try await eventually("its tool was stopped") { runner.runningCount == 0 }
    #expect(stopped.withLock { $0 })
    #expect(try await harness.leases() == 0)
    for loop in loops { loop.cancel() }
    for loop in loops { await loop.value }
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func aDeadlineThatIsPutOffOrTakenAwayEndsNothing(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit(deadline: .seconds(3_600))
    try await setDeadline(mission.id, Date(timeIntervalSinceNow: -1), harness)
    let (due, _) = try await harness.store.due(atMost: 10)
    #expect(due.map(\.id) == [mission.id])
    try await setDeadline(mission.id, nil, harness)
    await #expect(throws: (any Error).self, "it has another version by now") {
      try await harness.store.change(mission.id, expectedVersion: try #require(due.first?.version), [.expire])
    }
    _ = await keeper(harness).look()
    #expect(try await harness.store.mission(mission.id).state == .approved)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func oneThatCannotBeReadIsNotInTheOthersWay(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let damaged = try await harness.submit(deadline: .seconds(3_600))
    let sound = try await harness.submit(deadline: .seconds(3_600))
    try await setDeadline(sound.id, Date(timeIntervalSinceNow: -1), harness)
    try await harness.store.database.write { connection in
      try connection.execute(
        "UPDATE missions SET record = $2, deadline_us = 1 WHERE id = $1", damaged.id, [UInt8]([0xFF, 0xFF]))
    }
    _ = await keeper(harness).look()
    #expect(try await harness.store.mission(sound.id).state == .failed)
    #expect(try await harness.store.due(atMost: 10).due.isEmpty)
    await harness.close()
  }

  /// The column says otherwise than the record.
  @Test(arguments: TestEngine.allCases)
  func whatHasEndedIsNotLookedAtForEver(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit()
    let ended = try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await harness.store.database.write { try $0.execute("UPDATE missions SET deadline_us = 1") }
    _ = await keeper(harness).look()
    #expect(try await harness.store.due(atMost: 10).due.isEmpty)
    #expect(try await harness.store.mission(mission.id) == ended)
    await harness.close()
  }

  /// As when the process's clock and the database's disagree: what is not over yet by one is not forgotten.
  @Test(arguments: TestEngine.allCases)
  func whatIsDueTooEarlyKeepsItsDeadline(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.answer)
    let mission = try await harness.submit(deadline: .seconds(3_600))
    try await harness.store.database.write { try $0.execute("UPDATE missions SET deadline_us = 1") }
    _ = await keeper(harness).look()
    #expect(try await harness.store.mission(mission.id).state == .approved)
    let (due, next) = try await harness.store.due(atMost: 10)
    #expect(due.isEmpty && (.seconds(3_000)...(.seconds(3_600))).contains(next), "\(next)")
    try await setDeadline(mission.id, Date(timeIntervalSinceNow: -1), harness)
    _ = await keeper(harness).look()
    #expect(try await harness.store.mission(mission.id).error?.code == "DEADLINE_EXCEEDED")
    await harness.close()
  }

  @Test func aDeadlinePassesByTheClockThatIsGiven() throws {
    let deadline = Date(timeIntervalSince1970: 2_000_000_000)
    var mission = Mission(id: "m", state: .running, deadline: GoogleProtobufTimestamp(deadline))
    #expect(try mission.change(by: [.expire], at: deadline.addingTimeInterval(-1)).isEmpty)
    #expect(try !mission.change(by: [.expire], at: deadline).isEmpty)
    #expect(mission.state == .failed)
  }

  @Test func theNextDeadlineIsFoundByItsIndex() async throws {
    let harness = try await PipelineHarness(.sqlite, Self.answer)
    for (statement, arguments) in [(MissionStore.due, [1, 100]), (MissionStore.nextDeadline, [1])] {
      let plan = try await harness.store.database.read { connection in
        try connection.rows("EXPLAIN QUERY PLAN \(statement)", arguments: arguments).map { try $0.text("detail") }
      }.joined(separator: "\n")
      #expect(plan.contains("USING INDEX missions_by_deadline") || plan.contains("COVERING INDEX missions_by_deadline"))
      #expect(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "\(plan)")
    }
    await harness.close()
  }
}
