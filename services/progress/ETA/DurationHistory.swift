import Foundation
import Messages
import Storage

/// How long missions that succeeded took, and what that says of those that run.
struct DurationHistory: Sendable {
  /// How many runs of one recipe, tool and intent are kept: the newest.
  static let runsPerKey = 500
  /// How many runs are kept in all.
  static let runsInAll: Int64 = 50_000
  /// A mission with more events than this is not taken into history: it is read while all other events wait.
  static let mostEvents = 10_000

  let database: Database
  private let cache = HistoryCache()

  init(database: Database) { self.database = database }

  /// The time left of a mission; nil while there is nothing to go by.
  func estimate(_ standing: Standing, facts: MissionFacts) async throws -> TimeLeft? {
    for scope in HistoryScope.fitting(RunKey(recipe: facts.recipe, tool: facts.tool, intent: facts.intent)) {
      let runs = try await runs(in: scope)
      guard let (p50, p90) = ETAEstimator.estimate(standing, from: runs) else { continue }
      return TimeLeft(p50: p50, p90: p90, basis: "history of \(runs.count) runs (\(scope.text))")
    }
    return standing.plainRule.map { TimeLeft(p50: $0, p90: nil, basis: "plain rule") }
  }

  /// The newest runs of a scope, newest first; at most `runsPerKey`.
  func runs(in scope: HistoryScope) async throws -> [FinishedRun] {
    if let known = cache.runs(in: scope) { return known }
    cache.beginLoading(scope)
    do {
      let runs = try await database.read { connection in
        try connection.all(
          FinishedRun.self,
          "SELECT * FROM durations \(scope.condition) ORDER BY number DESC LIMIT \(Self.runsPerKey)",
          arguments: scope.arguments)
      }
      return cache.endLoading(scope, runs)
    } catch {
      cache.endLoading(scope, nil)
      throw error
    }
  }

  // MARK: - Taking missions in

  /// Takes a mission into history if it has succeeded with the last of these events, which are stored already, in the
  /// closure's transaction.
  ///
  /// - Parameter facts: the mission's latest; nil to find them in its log.
  func took(
    _ events: [ProgressEvent], of mission: String, _ facts: MissionFacts?, _ connection: WriteConnection
  ) throws {
    guard let last = events.last, last.isLast, last.state == .succeeded, last.sequence <= Self.mostEvents
    else { return }
    let rows = try connection.rows("SELECT event FROM events WHERE mission_id = $1 ORDER BY sequence", mission)
    var clock = MissionClock()
    for row in rows { clock.take(try ProgressEvent(wire: try row.blob("event"))) }
    guard let run = try clock.finished(facts)?.inserted(connection) else { return }
    try prune(run, connection)
    connection.afterCommit { [cache] in cache.add(run) }
  }

  private func prune(_ run: FinishedRun, _ connection: WriteConnection) throws {
    let key = [run.key.recipe, run.key.tool, run.key.intent]
    let ofKey = "recipe = $1 AND tool = $2 AND intent = $3"
    let surplus = try connection.first(
      "SELECT number FROM durations WHERE \(ofKey) ORDER BY number DESC LIMIT 1 OFFSET \(Self.runsPerKey)",
      arguments: key)
    if let surplus = try surplus?.int64("number") {
      try connection.execute(
        "DELETE FROM durations WHERE \(ofKey) AND number <= $4", arguments: key + [surplus] as [any ValueConvertible])
    }
    try connection.execute("DELETE FROM durations WHERE number <= $1", run.number - Self.runsInAll)
  }
}

extension HistoryScope {
  /// A `WHERE` clause, or nothing.
  var condition: String {
    let columns = [recipe.map { _ in "recipe" }, tool.map { _ in "tool" }, intent.map { _ in "intent" }]
    let tests = columns.compactMap(\.self).enumerated().map { "\($1) = $\($0 + 1)" }
    return tests.isEmpty ? "" : "WHERE " + tests.joined(separator: " AND ")
  }

  var arguments: [any ValueConvertible] { [recipe, tool, intent].compactMap(\.self) }
}
