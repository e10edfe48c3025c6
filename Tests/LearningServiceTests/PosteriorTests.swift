import Messages
import RPC
import ServiceTestSupport
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

private struct Fixture {
  let place: TestStore
  let store: LearningStore

  init(_ engine: TestEngine) async throws {
    place = try await TestStore(engine)
    store = LearningStore(database: try await place.open(migrations))
  }

  func record(_ mission: String) async throws {
    try await store.record(
      RecordOutcomeRequest(missionId: mission, tool: "calculate", intent: "calculation", succeeded: true))
  }

  func value() async throws -> Double {
    try await store.multipliers(intent: "calculation", tools: ["calculate"])[0].value
  }
}

@Suite struct LearningStoreTests {
  @Test(arguments: TestEngine.allCases) func anOutcomeCountsOnce(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.record("m")
    let once = try await fixture.value()
    try await fixture.record("m")
    #expect(try await fixture.value() == once)
    #expect(once > 1)
  }

  @Test(arguments: TestEngine.allCases) func aChangedMindReplacesWhatWasSaid(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    for mission in ["a", "b"] { try await fixture.record(mission) }
    let before = try await fixture.value()
    let good = GiveFeedbackRequest(missionId: "a", score: 1)
    let praised = try await fixture.store.give(good, author: "eva")
    #expect(praised.multiplier?.value ?? 0 > before)
    let repeated = try await fixture.store.give(good, author: "eva")
    #expect(repeated.multiplier?.value == praised.multiplier?.value)
    let bad = try await fixture.store.give(GiveFeedbackRequest(missionId: "a", score: 0), author: "eva")
    #expect(bad.multiplier?.value ?? 2 < before)
    #expect(try await fixture.store.feedback(missionID: "a").map(\.score) == [0])
  }

  @Test(arguments: TestEngine.allCases) func aCorrectionSpeaksForTheOtherTool(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.record("a")
    _ = try await fixture.store.give(
      GiveFeedbackRequest(missionId: "a", score: 0, correction: "data_analyze"), author: "eva")
    let multipliers = try await fixture.store.multipliers(
      intent: "calculation", tools: ["calculate", "data_analyze", "other"])
    #expect(multipliers[0].value < 1)
    #expect(multipliers[1].value > 1)
    #expect(multipliers[2].value == 1)
  }

  @Test(arguments: TestEngine.allCases)
  func replayingTheSignalsGivesTheSamePosterior(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    var random = SeededRandom()
    for number in 0..<60 {
      try await fixture.record("m\(number)")
      let score = Double.random(in: 0...1, using: &random)
      let mission = "m\(Int.random(in: 0...number, using: &random))"
      _ = try await fixture.store.give(
        GiveFeedbackRequest(missionId: mission, score: score), author: "p\(Int.random(in: 0..<3, using: &random))")
    }
    let replayed = try await fixture.store.database.read { connection in
      var posterior = Posterior()
      for row in try connection.rows("SELECT score, weight FROM signals WHERE replaced = 0 ORDER BY number") {
        posterior.learn(score: try row.real("score"), weight: try row.real("weight"))
      }
      return posterior
    }
    #expect(try await fixture.value() == replayed.multiplier)
  }

  @Test(arguments: TestEngine.allCases) func feedbackOnAnUnknownMissionIsRefused(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let request = GiveFeedbackRequest(missionId: "x", score: 1)
    await #expect { try await fixture.store.give(request, author: "eva") } throws: {
      ($0 as? Status)?.code == .notFound
    }
  }
}
