import Messages
import ServiceTestSupport
import Storage
import Testing

@testable import LearningService

@Suite(.timeLimit(.minutes(1))) struct InboxTests {
  @Test(arguments: TestEngine.allCases) func outcomesCountOnce(_ engine: TestEngine) async throws {
    let directory = try await TestStore(engine)
    let store = LearningStore(database: try await directory.open(migrations))
    let outcome = RecordOutcomeRequest(missionId: "m", tool: "calculate", intent: "calculation", succeeded: true)
    let receipts = try await deliver(
      [outcome, outcome, outcome, RecordOutcomeRequest(missionId: "n")], topic: "learning", ids: ["1", "1", "2", "3"],
      to: [LearningService.inboxTopic], of: store.database)
    #expect(receipts.map(\.outcome) == [.taken, .repeated, .taken, .refused])
    #expect(receipts[3].reason.contains("tool"))
    #expect(try await store.knows("m"))
    let multiplier = try await store.multipliers(intent: "calculation", tools: ["calculate"])[0]
    #expect(multiplier.samples == Posterior.Weight.outcome)
    await store.database.close()
  }
}
