import Foundation
import Logging
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Testing

@testable import ExecutionService

/// A pipeline with a database of its own between scripted peers, and any number of runners over it.
struct PipelineHarness {
  let peers = ScriptedPeers()
  let store: MissionStore
  let pipeline: Pipeline
  let partials: PartialResults
  private let place: TestStore
  private let server: Server

  /// - Parameter investmentIsDown: the investment service's address is one where nobody listens.
  init(
    _ engine: TestEngine, _ tool: any ExecutionService.Tool, investmentIsDown: Bool = false,
    withoutInvestment: Peers.Policy = .closed
  ) async throws {
    place = try await TestStore(engine)
    store = MissionStore(database: try await place.open(migrations))
    var router = Router()
    // One object has three roles; each of these knows it in one of them.
    func investment(_ handler: some InvestmentHandler) { router.register(handler) }
    func learning(_ handler: some LearningHandler) { router.register(handler) }
    func artifacts(_ handler: some ArtifactsHandler) { router.register(handler) }
    investment(peers)
    learning(peers)
    artifacts(peers)
    server = Server(router: router)
    let client = Client(host: "127.0.0.1", port: try await server.start(host: "127.0.0.1", port: 0).port)
    let nobody = Client(host: "127.0.0.1", port: 1)
    let calls = Peers(
      artifacts: ArtifactsClient(client), investment: InvestmentClient(investmentIsDown ? nobody : client),
      learning: LearningClient(client), withoutInvestment: withoutInvestment,
      withoutLearning: .open, patience: .milliseconds(100), resultPatience: .milliseconds(100),
      callTimeout: .seconds(10))
    let steps = StepRunner(
      store: store, peers: calls, toolbox: Toolbox(tools: [tool]), classifier: IntentClassifier())
    pipeline = Pipeline(store: store, steps: steps, logger: .init(label: "test"))
    partials = PartialResults(store: store, peers: calls, logger: .init(label: "test"))
  }

  func submit(deadline: Duration? = nil, priority: Int32 = 0, owner: String = "") async throws -> Mission {
    let rules = SubmissionRules(
      toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)
    var request = SubmitMissionRequest(objective: "What is 6 * 7?", owner: owner, priority: priority)
    if let deadline { request.deadline = GoogleProtobufTimestamp(.init(timeIntervalSinceNow: deadline / .seconds(1))) }
    let (mission, effects) = try rules.mission(from: request, now: .init())
    return try await store.insert(mission, effects: effects, from: request)
  }

  /// Claims the mission that is first to run.
  func claim(_ holder: String = "a", for duration: Duration = .seconds(600)) async throws -> Claim {
    try #require(try await store.claim(by: LeaseHolder(id: holder, duration: duration), limit: 1).first)
  }

  /// Runs a new mission to its end.
  func run(deadline: Duration? = nil) async throws -> Mission {
    let mission = try await submit(deadline: deadline)
    let claim = try await claim()
    let run = Task { await pipeline.run(claim) }
    let keeper = DeadlineKeeper(store: store, logger: .init(label: "test")) { _ in run.cancel() }
    let keeping = Task { await keeper.run() }
    await run.value
    keeping.cancel()
    await keeping.value
    return try await store.mission(mission.id)
  }

  /// One of several processes that run the missions of this database.
  func runner(
    _ holder: String, limit: Int = 8, leases duration: Duration = .seconds(600), terms: QueueTerms = QueueTerms(),
    run: (@Sendable (Claim) async -> Void)? = nil
  ) -> MissionRunner {
    MissionRunner(
      store: store, holder: LeaseHolder(id: holder, duration: duration), limit: limit, terms: terms,
      logger: .init(label: holder), run: run ?? pipeline.run)
  }

  func waiting(_ topic: String) async throws -> Int {
    try await store.database.read { try Outbox.waiting(topic: topic, in: $0) }
  }

  /// The events of one mission, in the order in which they leave.
  func events(_ id: String) async throws -> [ProgressEvent] {
    let payloads = try await store.database.read { connection in
      try connection.rows("SELECT payload FROM outbox WHERE topic = 'events' AND key = $1 ORDER BY id", id)
        .map { try $0.blob("payload") }
    }
    return try payloads.flatMap { try RecordEventsRequest(wire: $0).events }
  }

  /// How many leases the table holds, live or not.
  func leases() async throws -> Int {
    try await store.database.read { try $0.first("SELECT count(*) AS n FROM leases")?.int("n") ?? 0 }
  }

  /// Those that somebody runs a mission under at this moment.
  func liveLeases() async throws -> Int {
    try await store.database.read { connection in
      let sql = "SELECT count(*) AS n FROM leases WHERE expires_us > $1"
      return try connection.first(sql, try connection.now())?.int("n") ?? 0
    }
  }

  /// As when the holder was frozen for longer than its lease lasts.
  func expireLeases() async throws {
    try await store.database.write { try $0.execute("UPDATE leases SET expires_us = 0") }
  }

  func close() async {
    await server.shutdown(grace: .seconds(1))
    await store.database.close()
  }
}
