import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(2))) struct MissionClaimTests {
  private static let tool = ScriptedTool { _, _ in ToolOutput(text: "42", artifacts: [], bytesRead: 1) }

  /// Two processes run missions step by step, in any order, and are frozen for longer than their leases last.
  @Test(arguments: TestEngine.allCases)
  func noStaleWriteLandsInAnyOrder(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    var random = SeededRandom()
    var open: Set<String> = []
    for _ in 0..<12 { open.insert(try await harness.submit().id) }
    let ids = open
    var claims: [[Claim]] = [[], []]
    var refused = 0
    while !open.isEmpty {
      let process = Int.random(in: 0..<2, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<2:
        let holder = LeaseHolder(id: "process \(process)", duration: .seconds(600))
        claims[process] += try await harness.store.claim(by: holder, limit: 3)
      case 2..<9:
        guard let index = claims[process].indices.randomElement(using: &random) else { break }
        let claim = claims[process][index]
        do {
          let mission = try await step(claim, harness)
          claims[process][index] = Claim(mission: mission, lease: claim.lease)
          if mission.state.isTerminal { claims[process].remove(at: index) }
          if mission.state.isTerminal { open.remove(mission.id) }
        } catch is LeaseLost {
          refused += 1
          claims[process].remove(at: index)
        }
      default:
        try await harness.expireLeases()
      }
    }
    #expect(refused > 0)
    for id in ids {
      let events = try await harness.events(id)
      #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
      #expect(events.filter { $0.type == .stepCompleted }.map(\.step) == Step.sequence)
    }
    await harness.close()
  }

  /// The next write of a process that believes to stand where it last saw the mission.
  private func step(_ claim: Claim, _ harness: PipelineHarness) async throws -> Mission {
    let step = try #require(claim.mission.currentStep)
    var transitions: [Transition] = [.report(step, fraction: 0.5, message: ""), .complete(step, message: "")]
    if let next = step.next { transitions.append(.begin(next)) }
    return try await harness.store.change(claim.mission.id, under: claim.lease, transitions)
  }

  @Test(arguments: TestEngine.allCases)
  func theCommandOfAPersonNeedsNoLease(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let claim = try await harness.claim()
    let cancelled = try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    #expect(cancelled.state == .cancelled)
    await #expect {
      try await harness.store.change(mission.id, under: claim.lease, [.complete(.verification, message: "")])
    } throws: { ($0 as? Status)?.code == .failedPrecondition }
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    #expect(try await harness.store.attention(of: holder) == .init(ended: [mission.id], isAnyWaiting: false))
    #expect(try await !harness.store.hasStopped(mission.id))
    try await harness.store.release([claim.lease.lease])
    #expect(try await harness.store.hasStopped(mission.id))
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatWasInterruptedGoesFirstAndALiveLeaseHidesIt(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let low = try await harness.submit(priority: -1)
    let claim = try await harness.claim()
    let high = try await harness.submit(priority: 50)
    let holder = LeaseHolder(id: "b", duration: .seconds(600))
    let first = try await harness.store.claim(by: holder, limit: 10)
    #expect(first.map(\.mission.id) == [high.id])
    #expect(try await harness.store.attention(of: holder) == .init())
    try await harness.store.release([claim.lease.lease] + first.map(\.lease.lease))
    #expect(try await harness.store.attention(of: holder).isAnyWaiting)
    let again = try await harness.store.claim(by: holder, limit: 10)
    #expect(again.map(\.mission.id) == [high.id, low.id])
    #expect(again.map(\.lease.lease.fence) == [2, 2])
    #expect(again.allSatisfy { $0.mission.steps.map(\.outcome) == [.running] })
    await harness.close()
  }

  /// One whose record cannot be read must not keep those behind it from running.
  @Test(arguments: TestEngine.allCases)
  func aMissionThatCannotBeBegunHoldsUpNoOther(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let damaged = try await harness.submit(priority: 50)
    let state = Int(MissionState.running.rawValue)
    let ended = try await harness.submit(priority: 40)
    try await harness.store.change(ended.id, [.cancel(By(actor: "eva"))])
    try await harness.store.database.write { connection in
      try connection.execute("UPDATE missions SET record = $2 WHERE id = $1", damaged.id, [UInt8]([0xFF, 0xFF]))
      // The columns say otherwise than the record.
      try connection.execute("UPDATE missions SET state = $2, rank_us = 0 WHERE id = $1", ended.id, state)
    }
    let sound = try await harness.submit()
    let broken = Mutex<Set<String>>([])
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    let claims = try await harness.store.claim(by: holder, limit: 10) { id, _ in
      broken.withLock { _ = $0.insert(id) }
    }
    #expect(claims.map(\.mission.id) == [sound.id])
    #expect(broken.withLock { $0 } == [damaged.id, ended.id])
    #expect(try await harness.store.claim(by: holder, limit: 10).isEmpty, "they are out of the way for a while")
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatADeadProcessLeftOfAnEndedMissionIsDropped(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, Self.tool)
    let mission = try await harness.submit()
    let dead = try await harness.store.claim(by: LeaseHolder(id: "dead", duration: .zero), limit: 1)
    #expect(dead.map(\.mission.id) == [mission.id])
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    _ = try await harness.store.renew([], of: holder)
    #expect(try await harness.store.database.read { try Lease.exists(mission.id, in: $0) }, "it is to go on")
    try await harness.store.change(mission.id, [.cancel(By(actor: "eva"))])
    _ = try await harness.store.renew([], of: holder)
    #expect(try await harness.store.database.read { try !Lease.exists(mission.id, in: $0) })
    await harness.close()
  }

  /// Finished missions, of which there may be any number, must not be walked through.
  @Test func whatIsToStopIsFoundByTheLeases() async throws {
    let harness = try await PipelineHarness(.sqlite, Self.tool)
    let plan = try await harness.store.database.read { connection in
      try connection.rows("EXPLAIN QUERY PLAN \(MissionStore.ended)", "a", 1).map { try $0.text("detail") }
    }.joined(separator: "\n")
    #expect(plan.contains("SCAN leases") && !plan.contains("SCAN missions"), "\(plan)")
    await harness.close()
  }
}
