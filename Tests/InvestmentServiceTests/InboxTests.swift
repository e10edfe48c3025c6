import Messages
import ServiceTestSupport
import Storage
import Testing

@testable import InvestmentService

@Suite(.timeLimit(.minutes(1))) struct InboxTests {
  @Test(arguments: TestEngine.allCases) func releasesAndSettlesOnce(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let ledger = Ledger(database: try await store.open(migrations))
    try await ledger.open(limit: 10_000, currency: "USD")
    for id in ["a", "b", "c"] { _ = try await ledger.reserve(id: id, missionID: id, amount: 1_000) }

    let releases = try await deliver(
      [ReleaseRequest(id: "a"), ReleaseRequest(id: "a"), ReleaseRequest(id: "unknown"), ReleaseRequest()],
      topic: "investment", to: InvestmentService.inboxTopics, of: ledger.database)
    #expect(releases.map(\.outcome) == [.taken, .taken, .taken, .refused])

    let settlements = try await deliver(
      [
        SettleRequest(id: "b", spent: .actual(Money(micros: 400, currency: "USD"))),
        SettleRequest(id: "b", spent: .actual(Money(micros: 900, currency: "USD"))),
        SettleRequest(id: "a", spent: .actual(Money(micros: 400, currency: "USD"))),
        SettleRequest(id: "nobody", spent: .use(ToolUse(tool: "calculate"))),
        SettleRequest(id: "c", spent: .actual(Money(micros: 400, currency: "EUR"))),
        SettleRequest(id: "c", spent: .use(ToolUse(tool: "no such tool"))),
        SettleRequest(id: "c"),
      ], topic: "settlement", to: InvestmentService.inboxTopics, of: ledger.database)
    #expect(settlements.map(\.outcome) == [.taken, .taken, .taken, .taken, .refused, .refused, .refused])
    #expect(settlements[5].reason.contains("no price is known"))

    let figures = try await ledger.figures()
    #expect(figures.spent == 400 && figures.reserved == 1_000, "settled once; c is still held")
    #expect(try await ledger.entries(after: 0, missionID: "b", limit: 10).count == 2)
    await ledger.database.close()
  }
}
