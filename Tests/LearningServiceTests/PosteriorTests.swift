import Messages
import RPC
import Storage
import TestSupport
import Testing

@testable import LearningService

@Suite struct PosteriorTests {
  private func learned(_ score: Double, times: Int) -> Posterior {
    var posterior = Posterior()
    for _ in 0..<times { posterior.learn(score: score, weight: 1) }
    return posterior
  }

  @Test func nothingKnownMeansOne() {
    #expect(Posterior().multiplier == 1)
    #expect(!Posterior().isCapped)
  }

  @Test func twentyConsistentSamplesChangeTheConfidenceByAtLeastFivePercent() {
    print("multiplier after 20 good: \(learned(1, times: 20).multiplier), bad: \(learned(0, times: 20).multiplier)")
    #expect(learned(1, times: 20).multiplier >= 1.05)
    #expect(learned(0, times: 20).multiplier <= 0.95)
  }

  @Test func theMultiplierIsClippedAndSaysSo() {
    let praised = learned(1, times: 10_000)
    #expect(praised.multiplier == 1.2)
    #expect(praised.isCapped)
    #expect(learned(0, times: 10_000).multiplier == 0.8)
  }

  @Test func whatIsOldIsForgotten() {
    var posterior = learned(1, times: 200)
    for _ in 0..<200 { posterior.learn(score: 0, weight: 1) }
    #expect(posterior.multiplier < 1)
    #expect(posterior.samples < 100)
  }
}

@Suite struct LearningStoreTests {
  private let folder: TemporaryFolder
  private let store: LearningStore

  init() async throws {
    folder = try TemporaryFolder("learning")
    store = LearningStore(database: try await Database.open(.sqlite(path: folder.file("db.sqlite3")), migrations: migrations))
  }

  private func record(_ mission: String) async throws {
    try await store.record(
      RecordOutcomeRequest(missionId: mission, tool: "calculate", intent: "calculation", succeeded: true))
  }

  private func value() async throws -> Double {
    try await store.multipliers(intent: "calculation", tools: ["calculate"])[0].value
  }

  @Test func anOutcomeCountsOnce() async throws {
    try await record("m")
    let once = try await value()
    try await record("m")
    #expect(try await value() == once)
    #expect(once > 1)
  }

  @Test func aChangedMindReplacesWhatWasSaid() async throws {
    for mission in ["a", "b"] { try await record(mission) }
    let before = try await value()
    let good = GiveFeedbackRequest(missionId: "a", score: 1)
    let praised = try await store.give(good, author: "eva")
    #expect(praised.multiplier?.value ?? 0 > before)
    let repeated = try await store.give(good, author: "eva")
    #expect(repeated.multiplier?.value == praised.multiplier?.value)
    let bad = try await store.give(GiveFeedbackRequest(missionId: "a", score: 0), author: "eva")
    #expect(bad.multiplier?.value ?? 2 < before)
    #expect(try await store.feedback(missionID: "a").map(\.score) == [0])
  }

  @Test func aCorrectionSpeaksForTheOtherTool() async throws {
    try await record("a")
    _ = try await store.give(
      GiveFeedbackRequest(missionId: "a", score: 0, correction: "data_analyze"), author: "eva")
    let multipliers = try await store.multipliers(intent: "calculation", tools: ["calculate", "data_analyze", "other"])
    #expect(multipliers[0].value < 1)
    #expect(multipliers[1].value > 1)
    #expect(multipliers[2].value == 1)
  }

  @Test func replayingTheSignalsGivesTheSamePosterior() async throws {
    var random = SeededRandom()
    for number in 0..<60 {
      try await record("m\(number)")
      let score = Double.random(in: 0...1, using: &random)
      let mission = "m\(Int.random(in: 0...number, using: &random))"
      _ = try await store.give(
        GiveFeedbackRequest(missionId: mission, score: score), author: "p\(Int.random(in: 0..<3, using: &random))")
    }
    let replayed = try await store.database.read { connection in
      var posterior = Posterior()
      for row in try connection.rows("SELECT score, weight FROM signals WHERE replaced = 0 ORDER BY number") {
        posterior.learn(score: try row.real("score"), weight: try row.real("weight"))
      }
      return posterior
    }
    #expect(try await value() == replayed.multiplier)
  }

  @Test func feedbackOnAnUnknownMissionIsRefused() async throws {
    await #expect { try await store.give(GiveFeedbackRequest(missionId: "x", score: 1), author: "eva") } throws: {
      ($0 as? Status)?.code == .notFound
    }
  }
}
