import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(1))) struct SubmissionTests {
  private let rules = SubmissionRules(
    toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)
  private let request = SubmitMissionRequest(
    objective: "1 + 1", owner: "eva", labels: ["a": "1", "b": "2", "c": "3"], idempotencyKey: "k")

  private func submit(_ request: SubmitMissionRequest, to store: MissionStore) async throws -> Mission {
    let (mission, effects) = try rules.mission(from: request, now: Date())
    return try await store.insert(mission, effects: effects, from: request)
  }

  @Test(arguments: TestEngine.allCases) func aRepetitionGetsTheFirstAnswer(_ engine: TestEngine) async throws {
    let place = try await TestStore(engine)
    defer { withExtendedLifetime(place) {} }
    let store = MissionStore(database: try await place.open(migrations))
    let first = try await submit(request, to: store)
    try await store.change(first.id, [.cancel(By(actor: "eva"))])
    #expect(try await submit(request, to: store) == first)
    #expect(first.state == .approved && first.version == 1)
    var other = request
    other.labels["c"] = "4"
    await #expect { try await submit(other, to: store) } throws: { error in
      let status = error as? Status
      return status?.code == .alreadyExists && status?.message.contains("\"k\"") == true
    }
    let events = try await store.database.read { try Outbox.waiting(topic: MissionStore.Topic.events, in: $0) }
    #expect(events == 2, "submitted and approved, cancelled: nothing of the repetitions")
    await store.database.close()
  }

  @Test(arguments: TestEngine.allCases) func afterTheRetentionAKeyIsFree(_ engine: TestEngine) async throws {
    let place = try await TestStore(engine)
    defer { withExtendedLifetime(place) {} }
    let store = MissionStore(database: try await place.open(migrations))
    let first = try await submit(request, to: store)
    let later = Date(timeIntervalSinceNow: 60)
    #expect(try await store.database.write { try Idempotency.prune(before: later, limit: 10, in: $0) } == 1)
    #expect(try await submit(request, to: store).id != first.id)
    await store.database.close()
  }

  /// What an earlier version has written: submissions with their requests, and refused events under their own topic.
  @Test(arguments: TestEngine.allCases) func anEarlierDatabaseIsTakenOver(_ engine: TestEngine) async throws {
    let place = try await TestStore(engine)
    let old = try await place.open(Array(migrations.prefix(2)))
    let (mission, _) = try rules.mission(from: request, now: Date())
    let request = request
    try await old.write { connection in
      for number in 0..<450 {
        var one = mission
        one.id = "m\(number)"
        try connection.execute(
          "INSERT INTO missions (id, owner, state, priority, last_sequence, record) VALUES ($1, 'eva', 2, 0, 1, $2)",
          one.id, try one.bytes())
        try connection.execute(
          "INSERT INTO submissions (owner, idempotency_key, mission_id, request) VALUES ('eva', $1, $2, $3)",
          number == 0 ? "k" : "k\(number)", one.id, try request.bytes())
      }
      for topic in ["progress", "progress-refused"] {
        try connection.execute(
          "INSERT INTO outbox (topic, key, payload, created_us) VALUES ($1, 'm0', $2, $3)", topic, [UInt8](), Date())
      }
    }
    await old.close()

    let store = MissionStore(database: try await place.open(migrations))
    try await store.moveSubmissions()
    try await store.moveSubmissions()
    #expect(try await submit(request, to: store).id == "m0")
    var other = request
    other.objective = "1 + 2"
    await #expect { try await submit(other, to: store) } throws: { ($0 as? Status)?.code == .alreadyExists }
    let (left, kept) = try await store.database.read { connection in
      (
        try connection.first("SELECT count(*) AS n FROM submissions")?.int("n"),
        try connection.first("SELECT count(*) AS n FROM idempotency")?.int("n")
      )
    }
    #expect(left == 0 && kept == 450)
    let statistics = try await store.database.read { try Outbox.statistics(in: $0) }
    #expect(statistics.map(\.topic) == ["progress"] && statistics[0].waiting == 1 && statistics[0].refused == 1)
    await store.database.close()
  }
}
