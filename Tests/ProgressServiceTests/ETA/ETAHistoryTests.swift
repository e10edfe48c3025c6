import Foundation
import Messages
import ServiceTestSupport
import Storage
import Testing

@testable import ProgressService

@Suite(.timeLimit(.minutes(2))) struct ETAHistoryTests {
  /// The log of a mission that succeeded: `seconds` of execution, and one of finalizing.
  private func log(
    _ mission: String, recipe: String = "r", tool: String = "t", intent: String = "i", seconds: Double = 1,
    state: MissionState = .succeeded
  ) -> [ProgressEvent] {
    let entries: [(EventType, Step, MissionState, Double)] = [
      (.stateChanged, .unspecified, .approved, 0), (.stateChanged, .unspecified, .running, 10),
      (.stepStarted, .execution, .running, 10), (.stepCompleted, .execution, .running, 10 + seconds),
      (.stepStarted, .finalize, .running, 10 + seconds), (.stateChanged, .unspecified, state, 11 + seconds),
    ]
    return entries.enumerated().map { index, entry in
      ProgressEvent(
        missionId: mission, sequence: UInt64(index + 1),
        time: GoogleProtobufTimestamp(Date(timeIntervalSince1970: entry.3)), type: entry.0, step: entry.1,
        state: entry.2, facts: index == 0 ? MissionFacts(recipe: recipe, intent: intent, tool: tool) : nil)
    }
  }

  private func open(_ store: TestStore) async throws -> EventLog {
    EventLog(database: try await store.open(migrations), hub: EventHub())
  }

  private let own = HistoryScope(recipe: "r", tool: "t", intent: "i")
  private let standing = Standing(step: 4, inStep: 0.5, elapsed: 0.5, percent: 55)
  private let facts = MissionFacts(recipe: "r", intent: "i", tool: "t")

  @Test(arguments: TestEngine.allCases) func aMissionThatSucceedsIsTakenInOnce(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    _ = try await events.record(Array(log("a", seconds: 3).prefix(4)))
    #expect(try await events.history.runs(in: own).isEmpty)
    _ = try await events.record(log("a", seconds: 3))
    _ = try await events.record(log("a", seconds: 3))
    _ = try await events.record(log("b", state: .failed) + log("c", state: .cancelled))
    let runs = try await events.history.runs(in: own)
    #expect(runs.map(\.seconds) == [[0, 0, 0, 0, 3, 1]])
    // Read from the database, not from what was kept in memory.
    #expect(try await DurationHistory(database: events.database).runs(in: own) == runs)
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func estimatesSayWhatTheyRestOn(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    func basis(_ facts: MissionFacts) async throws -> String? {
      try await events.history.estimate(standing, facts: facts)?.basis
    }
    #expect(try await basis(facts) == "plain rule")
    let nothing = Standing(step: 0, inStep: 1, elapsed: 1, percent: 0)
    #expect(try await events.history.estimate(nothing, facts: facts) == nil)
    for index in 0..<5 { _ = try await events.record(log("other \(index)", recipe: "s", tool: "u")) }
    #expect(try await basis(facts) == "history of 5 runs (intent)")
    #expect(try await basis(MissionFacts(recipe: "new")) == "history of 5 runs (all missions)")
    #expect(try await basis(MissionFacts(intent: "new", tool: "new")) == "plain rule")
    for index in 0..<6 { _ = try await events.record(log("own \(index)")) }
    #expect(try await basis(facts) == "history of 6 runs (recipe, tool, intent)")
    #expect(try await basis(MissionFacts(recipe: "r", intent: "i")) == "history of 6 runs (recipe, intent)")
    #expect(try await basis(MissionFacts(intent: "i", tool: "t")) == "history of 6 runs (tool, intent)")
    let estimate = try #require(try await events.history.estimate(standing, facts: facts))
    #expect(abs(estimate.p50 - 1.5) < 1e-6)
    #expect(estimate.p90.map { $0 >= estimate.p50 } == true)
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func aSnapshotShowsTheEstimate(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    let now = Date(timeIntervalSince1970: 10.5)
    var snapshot = ProgressSnapshot(
      missionId: "m", state: .running,
      steps: [
        StepRecord(
          step: .execution, outcome: .running, startedAt: GoogleProtobufTimestamp(Date(timeIntervalSince1970: 10)))
      ], percent: 55, elapsed: GoogleProtobufDuration(.seconds(0.5)), facts: facts)
    try await snapshot.estimate(from: events.history, reportedAt: nil, now: now)
    #expect(snapshot.etaBasis == "plain rule")
    #expect(snapshot.eta != nil && snapshot.etaP90 == nil)
    for index in 0..<12 { _ = try await events.record(log("\(index)", seconds: Double(index))) }
    try await snapshot.estimate(from: events.history, reportedAt: nil, now: now)
    #expect(snapshot.etaBasis == "history of 12 runs (recipe, tool, intent)")
    let (p50, p90) = (try #require(snapshot.eta?.duration), try #require(snapshot.etaP90?.duration))
    #expect(p50 > .seconds(1) && p90 > p50)
    snapshot.state = .paused
    try await snapshot.estimate(from: events.history, reportedAt: nil, now: now)
    #expect(snapshot.eta == nil && snapshot.etaP90 == nil && snapshot.etaBasis.isEmpty)
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func onlyTheNewestOfAKeyAreKept(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    let surplus = 20
    _ = try await events.record(log("other", tool: "u"))
    for index in 0..<(DurationHistory.runsPerKey + surplus) {
      _ = try await events.record(log("\(index)", seconds: Double(index)))
    }
    let fresh = DurationHistory(database: events.database)
    let runs = try await fresh.runs(in: own)
    #expect(runs.count == DurationHistory.runsPerKey)
    #expect(runs.last?.seconds[4] == Double(surplus))
    #expect(try await fresh.runs(in: HistoryScope(tool: "u", intent: "i")).count == 1)
    let stored = try await events.database.read { try $0.first("SELECT count(*) AS n FROM durations")?.int("n") }
    #expect(stored == DurationHistory.runsPerKey + 1)
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func theOldestOfAllGoWhenThereAreTooMany(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    _ = try await events.record(log("old", tool: "old"))
    // As if as many had been taken in since.
    try await events.database.write { connection in
      try connection.execute(
        "INSERT INTO durations (number, recipe, tool, intent, verification_us, intent_us, budget_us, selection_us, "
          + "execution_us, finalize_us, reports) VALUES ($1, '', '', '', 0, 0, 0, 0, 0, 0, '')",
        DurationHistory.runsInAll + 1)
      if engine == .postgres {
        _ = try connection.rows(
          "SELECT setval(pg_get_serial_sequence('durations', 'number'), $1)", DurationHistory.runsInAll + 1)
      }
    }
    _ = try await events.record(log("new", tool: "new"))
    let left = try await events.database.read { connection in
      try connection.rows("SELECT tool FROM durations ORDER BY number").map { try $0.text("tool") }
    }
    #expect(left == ["", "new"])
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test func twoProcessesShareOneHistory() async throws {
    let store = try await TestStore(.postgres)
    let (here, there) = (try await open(store), try await open(store))
    for index in 0..<6 { _ = try await (index % 2 == 0 ? here : there).record(log("\(index)")) }
    let estimate = try await there.history.estimate(standing, facts: facts)
    #expect(estimate?.basis == "history of 6 runs (recipe, tool, intent)")
    await here.database.close()
    await there.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func aMissionWithTooManyEventsIsLeftOut(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let events = try await open(store)
    var long = log("m")
    let many = DurationHistory.mostEvents
    var last = long.removeLast()
    long += (UInt64(long.count + 1)...UInt64(many)).map {
      ProgressEvent(missionId: "m", sequence: $0, type: .stepProgress, step: .finalize, state: .running)
    }
    last.sequence = UInt64(many + 1)
    _ = try await events.record(long + [last])
    #expect(try await events.history.runs(in: own).isEmpty)
    await events.database.close()
    withExtendedLifetime(store) {}
  }

  @Test func memoryHoldsSoManyScopesAndNewRunsAreAddedToThem() {
    let cache = HistoryCache()
    func run(_ number: Int64) -> FinishedRun {
      FinishedRun(number: number, key: RunKey(tool: "t", intent: "i"), seconds: [0, 0, 0, 0, 1, 0])
    }
    let scope = HistoryScope(tool: "t", intent: "i")
    cache.beginLoading(scope)
    // Taken in while another transaction reads, and seen by both.
    cache.add(run(2))
    cache.add(run(3))
    #expect(cache.endLoading(scope, [run(2), run(1)]).map(\.number) == [3, 2, 1])
    cache.add(run(4))
    #expect(cache.runs(in: scope)?.map(\.number) == [4, 3, 2, 1])
    for index in 0..<(HistoryCache.mostScopes * 2) {
      cache.endLoading(HistoryScope(recipe: "\(index)"), [])
      _ = cache.runs(in: scope)
    }
    #expect(cache.count == HistoryCache.mostScopes)
    #expect(cache.runs(in: scope) != nil, "what is asked for stays")
    #expect(HistoryCache(lifetime: .zero).runs(in: scope) == nil)
  }
}
