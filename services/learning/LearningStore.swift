import Foundation
import Messages
import RPC
import ServiceKit
import Storage

/// Outcomes, feedback and the signals drawn from them. The posteriors follow from the signals alone.
struct LearningStore: Sendable {
  let database: Database

  struct Outcome: RowDecodable, Hashable {
    var tool: String
    var intent: String

    init(row: Row) throws {
      tool = try row.text("tool")
      intent = try row.text("intent")
    }
  }

  private struct Signal {
    var tool: String
    var intent: String
    var mission: String
    var author = ""
    var score: Double
    var weight: Double
  }

  /// Takes a mission's outcome in once; a repeated delivery changes nothing.
  func record(_ request: RecordOutcomeRequest) async throws {
    try await database.write { try Self.record(request, $0) }
  }

  static func record(_ request: RecordOutcomeRequest, _ connection: WriteConnection) throws {
    let inserted = try connection.execute(
      """
      INSERT INTO outcomes (mission_id, tool, intent, succeeded, time_us) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (mission_id) DO NOTHING
      """, request.missionId, request.tool, request.intent, request.succeeded, request.time?.date ?? Date())
    guard inserted == 1 else { return }
    let signal = Signal(
      tool: request.tool, intent: request.intent, mission: request.missionId, score: request.succeeded ? 1 : 0,
      weight: Posterior.Weight.outcome)
    try add(signal, connection)
  }

  func knows(_ missionID: String) async throws -> Bool {
    try await database.read { try $0.first("SELECT 1 FROM outcomes WHERE mission_id = $1", missionID) != nil }
  }

  /// Stores a person's feedback in place of an earlier one and answers with the tool's posterior.
  func give(_ request: GiveFeedbackRequest, author: String) async throws -> Feedback {
    try await database.write { connection in
      guard let row = try connection.first("SELECT tool, intent FROM outcomes WHERE mission_id = $1", request.missionId)
      else { throw Status(.notFound, "no finished mission \(request.missionId) to give feedback on") }
      let outcome = try Outcome(row: row)
      let now = Date()
      try Self.replaceSignals(mission: request.missionId, author: author, connection)
      try connection.execute(
        """
        INSERT INTO feedback (mission_id, author, score, comment, correction, time_us) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (mission_id, author) DO UPDATE SET score = excluded.score, comment = excluded.comment,
          correction = excluded.correction, time_us = excluded.time_us
        """, request.missionId, author, request.score, request.comment, request.correction, now)
      var signal = Signal(
        tool: outcome.tool, intent: outcome.intent, mission: request.missionId, author: author, score: request.score,
        weight: Posterior.Weight.feedback)
      try Self.add(signal, connection)
      if !request.correction.isEmpty, request.correction != outcome.tool {
        (signal.tool, signal.score, signal.weight) = (request.correction, 1, Posterior.Weight.correction)
        try Self.add(signal, connection)
      }
      let posterior = try Self.posterior(outcome.tool, outcome.intent, connection)
      return Feedback(
        missionId: request.missionId, author: author, score: request.score, comment: request.comment,
        correction: request.correction, tool: outcome.tool, intent: outcome.intent,
        time: GoogleProtobufTimestamp(now),
        multiplier: Self.wire(posterior, tool: outcome.tool, intent: outcome.intent))
    }
  }

  func feedback(missionID: String) async throws -> [Feedback] {
    try await database.read { connection in
      let rows = try connection.rows(
        """
        SELECT f.*, o.tool, o.intent FROM feedback f JOIN outcomes o ON o.mission_id = f.mission_id
        WHERE f.mission_id = $1 ORDER BY f.time_us
        """, missionID)
      return try rows.map { row in
        Feedback(
          missionId: missionID, author: try row.text("author"), score: try row.real("score"),
          comment: try row.text("comment"), correction: try row.text("correction"), tool: try row.text("tool"),
          intent: try row.text("intent"), time: GoogleProtobufTimestamp(try row.date("time_us")))
      }
    }
  }

  func multipliers(intent: String, tools: [String]) async throws -> [Multiplier] {
    try await database.read { connection in
      try tools.map { Self.wire(try Self.posterior($0, intent, connection), tool: $0, intent: intent) }
    }
  }

  // MARK: - Within one transaction

  private static func posterior(_ tool: String, _ intent: String, _ connection: some ReadConnection) throws -> Posterior {
    guard
      let row = try connection.first(
        "SELECT favourable, unfavourable FROM posteriors WHERE tool = $1 AND intent = $2", tool, intent)
    else { return Posterior() }
    return Posterior(favourable: try row.real("favourable"), unfavourable: try row.real("unfavourable"))
  }

  private static func add(_ signal: Signal, _ connection: WriteConnection) throws {
    try connection.execute(
      "INSERT INTO signals (tool, intent, mission_id, author, score, weight) VALUES ($1, $2, $3, $4, $5, $6)",
      signal.tool, signal.intent, signal.mission, signal.author, signal.score, signal.weight)
    var posterior = try posterior(signal.tool, signal.intent, connection)
    posterior.learn(score: signal.score, weight: signal.weight)
    try save(posterior, signal.tool, signal.intent, connection)
  }

  /// Takes back what a person said of a mission and computes the posteriors it had a part in anew.
  private static func replaceSignals(mission: String, author: String, _ connection: WriteConnection) throws {
    let touched = try connection.all(
      Outcome.self,
      """
      UPDATE signals SET replaced = 1 WHERE mission_id = $1 AND author = $2 AND replaced = 0 RETURNING tool, intent
      """, mission, author)
    for pair in Set(touched) {
      let rows = try connection.rows(
        "SELECT score, weight FROM signals WHERE tool = $1 AND intent = $2 AND replaced = 0 ORDER BY number",
        pair.tool, pair.intent)
      var posterior = Posterior()
      for row in rows { posterior.learn(score: try row.real("score"), weight: try row.real("weight")) }
      try save(posterior, pair.tool, pair.intent, connection)
    }
  }

  private static func save(
    _ posterior: Posterior, _ tool: String, _ intent: String, _ connection: WriteConnection
  ) throws {
    try connection.execute(
      """
      INSERT INTO posteriors (tool, intent, favourable, unfavourable) VALUES ($1, $2, $3, $4)
      ON CONFLICT (tool, intent) DO UPDATE SET favourable = excluded.favourable, unfavourable = excluded.unfavourable
      """, tool, intent, posterior.favourable, posterior.unfavourable)
  }

  private static func wire(_ posterior: Posterior, tool: String, intent: String) -> Multiplier {
    Multiplier(
      tool: tool, intent: intent, value: posterior.multiplier, capped: posterior.isCapped, samples: posterior.samples)
  }
}

// MARK: - Metrics

extension LearningStore {
  @Sendable func samples() async throws -> [MetricSample] {
    let count = try await database.read { try $0.first("SELECT count(*) AS n FROM signals")?.int("n") ?? 0 }
    return [MetricSample(BuddySeries.learningSignals, Double(count))]
  }
}
