import Messages
import RPC
import ServiceTestSupport
import Storage
import Testing

@testable import InvestmentService

/// Tools that the price list does not know say themselves what they cost.
@Suite struct DeclaredPriceTests {
  private let list = [ToolPrice(tool: "calculate", perCall: 100, perMebibyte: 0)]

  private func use(
    _ tool: String, _ perCall: Int64?, _ perMebibyte: Int64? = nil, currency: String = "USD"
  ) -> ToolUse {
    func money(_ micros: Int64?) -> Money? { micros.map { Money(micros: $0, currency: currency) } }
    return ToolUse(
      tool: tool, expectedBytes: 1 << 20, maximumBytes: 3 << 20,
      declared: Price(tool: tool, perCall: money(perCall), perMebibyte: money(perMebibyte)))
  }

  @Test func countsWhereTheListHasNone() throws {
    let estimate = try InvestmentService.estimate(use("notify", 7, 10), list, "USD")
    #expect(estimate.expected?.micros == 17 && estimate.worstCase?.micros == 37)
    #expect(try InvestmentService.estimate(use("notify", nil), list, "USD").worstCase?.micros == 0)
    #expect(try InvestmentService.estimate(use("calculate", 7, 10), list, "USD").worstCase?.micros == 100)
  }

  @Test func mustBeAPriceInTheLedgersCurrency() {
    func code(_ use: ToolUse) -> Status.Code? {
      do {
        _ = try InvestmentService.estimate(use, list, "USD")
        return nil
      } catch {
        return (error as? Status)?.code
      }
    }
    #expect(code(use("notify", 7, currency: "EUR")) == .invalidArgument)
    #expect(code(use("notify", -7)) == .invalidArgument)
    #expect(code(ToolUse(tool: "notify")) == .notFound)
  }

  @Test(arguments: TestEngine.allCases) func isSettledAtMostAsReserved(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let ledger = Ledger(database: try await store.open(migrations))
    try await ledger.open(limit: 10_000, currency: "USD")
    for id in ["a", "b"] { _ = try await ledger.reserve(id: id, missionID: id, amount: 100) }
    let outcomes = try await deliver(
      [
        SettleRequest(id: "a", spent: .use(use("notify", 7, 10))),
        SettleRequest(id: "b", spent: .use(use("notify", 700))),
      ], topic: "settlement", to: InvestmentService.inboxTopics, of: ledger.database)
    #expect(outcomes.map(\.outcome) == [.taken, .taken])
    #expect(try await ledger.figures().spent == 117)
    await ledger.database.close()
  }
}
