import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Testing

@testable import ExecutionService

private struct Fixture {
  let place: TestStore
  let store: MissionStore
  let rules = SubmissionRules(
    toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)

  init(_ engine: TestEngine) async throws {
    place = try await TestStore(engine)
    store = MissionStore(database: try await place.open(migrations))
  }

  func submit(_ request: SubmitMissionRequest) async throws -> Mission {
    let (mission, effects) = try rules.mission(from: request, now: Date())
    return try await store.insert(mission, effects: effects, from: request)
  }

  func outboxEvents() async throws -> [ProgressEvent] {
    try await store.database.read { connection in
      try connection.all(OutboxRow.self, "SELECT * FROM outbox WHERE topic = 'events' ORDER BY id")
    }.flatMap { try RecordEventsRequest(wire: $0.payload).events }
  }
}

@Suite struct MissionStoreTests {
  @Test(arguments: TestEngine.allCases) func oneKeyMakesOneMission(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let request = SubmitMissionRequest(
      objective: "1 + 1", owner: "eva", labels: ["a": "1", "b": "2", "c": "3"], idempotencyKey: "k")
    let ids = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<20 {
        group.addTask {
          let (mission, effects) = try fixture.rules.mission(from: request, now: Date())
          return try await fixture.store.insert(mission, effects: effects, from: request).id
        }
      }
      return try await group.reduce(into: Set<String>()) { $0.insert($1) }
    }
    #expect(ids.count == 1)
    var other = request
    other.objective = "1 + 2"
    await #expect { try await fixture.submit(other) } throws: { ($0 as? Status)?.code == .alreadyExists }
    other.owner = "adam"
    #expect(try await fixture.submit(other).id != ids.first)
  }

  @Test(arguments: TestEngine.allCases) func eventsAreNumberedWithoutGap(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let mission = try await fixture.submit(SubmitMissionRequest(objective: "1 + 1"))
    try await fixture.store.change(mission.id, [.begin(.verification)])
    try await fixture.store.change(mission.id, [.complete(.verification, message: ""), .begin(.intent)])
    try await fixture.store.change(mission.id, [.cancel(By(actor: "eva"))])
    try await fixture.store.change(mission.id, [.cancel(By(actor: "eva"))])
    let events = try await fixture.outboxEvents()
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(events.last?.state == .cancelled)
  }

  @Test(arguments: TestEngine.allCases) func anotherVersionIsRefused(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let mission = try await fixture.submit(SubmitMissionRequest(objective: "1 + 1", requireApproval: true))
    #expect(mission.state == .pendingApproval)
    await #expect {
      try await fixture.store.change(mission.id, expectedVersion: mission.version + 1, [.approve(By(actor: "eva"))])
    } throws: { ($0 as? Status)?.code == .aborted }
    let approved = try await fixture.store.change(
      mission.id, expectedVersion: mission.version, [.approve(By(actor: "eva"))])
    #expect(approved.version == mission.version + 1)
  }

  @Test(arguments: TestEngine.allCases) func aRefusedTransitionWritesNothing(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let mission = try await fixture.submit(SubmitMissionRequest(objective: "1 + 1"))
    await #expect { try await fixture.store.change(mission.id, [.begin(.verification), .begin(.finalize)]) } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
    #expect(try await fixture.store.mission(mission.id) == mission)
    #expect(try await fixture.outboxEvents().count == 2)
  }

  @Test(arguments: TestEngine.allCases)
  func unfinishedMissionsAreClaimedRunningOnesFirst(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let waiting = try await fixture.submit(SubmitMissionRequest(objective: "1 + 1"))
    let running = try await fixture.submit(SubmitMissionRequest(objective: "1 + 2"))
    let ended = try await fixture.submit(SubmitMissionRequest(objective: "1 + 3"))
    try await fixture.store.change(running.id, [.begin(.verification)])
    try await fixture.store.change(ended.id, [.cancel(By(actor: "eva"))])
    let claims = try await fixture.store.claim(by: LeaseHolder(id: "a", duration: .seconds(60)), limit: 10)
    #expect(claims.map(\.mission.id) == [running.id, waiting.id])
  }

  @Test(arguments: TestEngine.allCases) func anUnknownMissionIsNotFound(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    await #expect { try await fixture.store.mission("nobody") } throws: { ($0 as? Status)?.code == .notFound }
  }

  @Test(arguments: TestEngine.allCases) func listsNewestFirstAndByState(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    var ids: [String] = []
    for number in 0..<5 { ids.append(try await fixture.submit(SubmitMissionRequest(objective: "\(number)")).id) }
    try await fixture.store.change(ids[1], [.cancel(By(actor: "eva"))])
    let all = try await fixture.store.list(states: [], owner: "", before: "", limit: 10)
    #expect(all.map(\.id) == ids.reversed())
    let page = try await fixture.store.list(states: [], owner: "", before: ids[3], limit: 2)
    #expect(page.map(\.id) == [ids[2], ids[1]])
    let cancelled = try await fixture.store.list(states: [.cancelled], owner: "anonymous", before: "", limit: 10)
    #expect(cancelled.map(\.id) == [ids[1]])
  }
}

@Suite struct SubmissionRulesTests {
  private let rules = SubmissionRules(
    toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)

  private func refusal(_ request: SubmitMissionRequest) -> String? {
    do {
      _ = try rules.mission(from: request, now: Date())
      return nil
    } catch {
      return (error as? Status).flatMap { $0.code == .invalidArgument ? $0.message : nil }
    }
  }

  @Test func everyLimitIsNamed() {
    #expect(refusal(SubmitMissionRequest(objective: " \n")) == "the objective is empty")
    #expect(refusal(SubmitMissionRequest(objective: String(repeating: "a", count: 10_001)))?.contains("10001") == true)
    #expect(refusal(SubmitMissionRequest(objective: "a", owner: String(repeating: "o", count: 101))) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", priority: 101)) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", inputs: [MissionInput(name: "x")])) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", parameters: ["": "x"])) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", budget: Money(micros: -1, currency: "USD"))) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", budget: Money(micros: 1, currency: "EUR"))) != nil)
    let past = GoogleProtobufTimestamp(Date(timeIntervalSinceNow: -1))
    #expect(refusal(SubmitMissionRequest(objective: "a", deadline: past))?.contains("has passed") == true)
    for time in [
      GoogleProtobufTimestamp(seconds: 253_402_300_800), GoogleProtobufTimestamp(seconds: .max),
      GoogleProtobufTimestamp(seconds: 4_102_444_800, nanos: -5),
    ] {
      #expect(refusal(SubmitMissionRequest(objective: "a", deadline: time))?.contains("9999") == true)
    }
    let outside = MissionInput(name: "../../etc/passwd", artifactId: "a")
    #expect(refusal(SubmitMissionRequest(objective: "a", inputs: [outside])) != nil)
    let long = ["p": String(repeating: "v", count: 10_000)]
    let many = Dictionary(uniqueKeysWithValues: (0..<30).map { ("p\($0)", String(repeating: "v", count: 10_000)) })
    #expect(refusal(SubmitMissionRequest(objective: "a", parameters: long)) == nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", parameters: many)) != nil)
    #expect(refusal(SubmitMissionRequest(objective: "a", requestedTool: "nope"))?.contains("calculate") == true)
    #expect(refusal(SubmitMissionRequest(objective: "a", idempotencyKey: String(repeating: "k", count: 201))) != nil)
  }

  @Test func aCheapMissionIsApprovedByPolicy() throws {
    #expect(try rules.mission(from: SubmitMissionRequest(objective: "a"), now: Date()).mission.state == .approved)
    let dear = SubmitMissionRequest(objective: "a", budget: Money(micros: 1_001, currency: "USD"))
    #expect(try rules.mission(from: dear, now: Date()).mission.state == .pendingApproval)
    let careful = SubmitMissionRequest(objective: "a", requireApproval: true)
    #expect(try rules.mission(from: careful, now: Date()).mission.state == .pendingApproval)
  }
}
