import Messages
import RPC
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import InvestmentService

private struct Fixture {
  let store: TestStore
  let ledger: Ledger

  init(_ engine: TestEngine) async throws {
    store = try await TestStore(engine)
    ledger = Ledger(database: try await store.open(migrations))
    try await ledger.open(limit: 1_000, currency: "USD")
  }

  /// The ledger's sums are the budget's figures, and no figure is impossible.
  func expectItAddsUp() async throws {
    let figures = try await ledger.figures()
    let entries = try await ledger.entries(after: 0, missionID: "", limit: 100_000)
    #expect(entries.reduce(0) { $0 + ($1.limitChange?.micros ?? 0) } == figures.limit)
    #expect(entries.reduce(0) { $0 + ($1.reservedChange?.micros ?? 0) } == figures.reserved)
    #expect(entries.reduce(0) { $0 + ($1.spentChange?.micros ?? 0) } == figures.spent)
    #expect(figures.available >= 0)
    #expect(entries.map(\.number) == Array(1...Int64(entries.count)))
  }
}

@Suite struct LedgerTests {
  @Test(arguments: TestEngine.allCases) func whatIsReservedIsSettledAndTheRestFreed(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    _ = try await fixture.ledger.reserve(id: "r", missionID: "m", amount: 400)
    #expect(try await fixture.ledger.figures().available == 600)
    let settled = try await fixture.ledger.settle(id: "r") { _ in 150 }
    #expect(settled.settled == 150)
    let figures = try await fixture.ledger.figures()
    #expect((figures.spent, figures.reserved, figures.available) == (150, 0, 850))
    try await fixture.expectItAddsUp()
  }

  @Test(arguments: TestEngine.allCases) func repeatingACallChangesNothing(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    for _ in 0..<2 { _ = try await fixture.ledger.reserve(id: "r", missionID: "m", amount: 400) }
    for _ in 0..<2 { _ = try await fixture.ledger.settle(id: "r") { _ in 150 } }
    _ = try await fixture.ledger.release(id: "r")
    let figures = try await fixture.ledger.figures()
    #expect((figures.spent, figures.reserved) == (150, 0))
    #expect(try await fixture.ledger.entries(after: 0, missionID: "m", limit: 10).count == 2)
    await #expect { try await fixture.ledger.reserve(id: "r", missionID: "m", amount: 1) } throws: {
      ($0 as? Status)?.code == .alreadyExists
    }
  }

  /// As when a mission's budget or tool is changed while it runs.
  @Test(arguments: TestEngine.allCases) func aHeldReservationIsAdjusted(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let ledger = fixture.ledger
    _ = try await ledger.reserve(id: "other", missionID: "n", amount: 300)
    _ = try await ledger.reserve(id: "r", missionID: "m", amount: 400)
    for _ in 0..<2 { #expect(try await ledger.reserve(id: "r", missionID: "m", amount: 700).amount == 700) }
    #expect(try await ledger.figures().available == 0)
    await #expect { try await ledger.reserve(id: "r", missionID: "m", amount: 701) } throws: {
      ($0 as? Status)?.code == .resourceExhausted
    }
    #expect(try await ledger.figures().reserved == 1_000, "what was held is held")
    #expect(try await ledger.reserve(id: "r", missionID: "m", amount: 250).amount == 250)
    let changes = try await ledger.entries(after: 0, missionID: "m", limit: 10).map { $0.reservedChange?.micros }
    #expect(changes == [400, 300, -450])
    await #expect { try await ledger.reserve(id: "r", missionID: "n", amount: 250) } throws: {
      ($0 as? Status)?.code == .alreadyExists
    }
    #expect(try await ledger.settle(id: "r") { _ in 900 }.settled == 250, "at most what is held now")
    #expect(try await ledger.figures().reserved == 300)
    try await fixture.expectItAddsUp()
  }

  @Test(arguments: TestEngine.allCases) func nothingIsSettledAboveTheReservation(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    _ = try await fixture.ledger.reserve(id: "r", missionID: "m", amount: 100)
    #expect(try await fixture.ledger.settle(id: "r") { _ in 900 }.settled == 100)
    try await fixture.expectItAddsUp()
  }

  @Test(arguments: TestEngine.allCases) func aReleaseThatComesFirstWins(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    _ = try await fixture.ledger.release(id: "late")
    #expect(try await fixture.ledger.reserve(id: "late", missionID: "m", amount: 100).state == .released)
    #expect(try await fixture.ledger.figures().reserved == 0)
    await #expect { try await fixture.ledger.settle(id: "late") { _ in 1 } } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
  }

  @Test(arguments: TestEngine.allCases)
  func missionsThatCompeteCannotOverspendTogether(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let held = try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<100 {
        group.addTask {
          do {
            _ = try await fixture.ledger.reserve(id: "r\(number)", missionID: "m\(number)", amount: 30)
            return true
          } catch let status as Status where status.code == .resourceExhausted {
            return false
          }
        }
      }
      return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(held == 33)
    try await fixture.expectItAddsUp()
  }

  @Test(arguments: TestEngine.allCases) func randomMovementsAlwaysAddUp(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    var random = SeededRandom()
    for _ in 0..<400 {
      let id = "r\(Int.random(in: 0..<40, using: &random))"
      let amount = Int64.random(in: 0...200, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: _ = try? await fixture.ledger.reserve(id: id, missionID: "m", amount: amount)
      case 1: _ = try? await fixture.ledger.settle(id: id) { _ in amount }
      case 2: _ = try? await fixture.ledger.release(id: id)
      default: _ = try? await fixture.ledger.setLimit(amount * 10)
      }
    }
    try await fixture.expectItAddsUp()
  }

  @Test(arguments: TestEngine.allCases) func theLimitCannotFallBelowWhatIsGone(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    _ = try await fixture.ledger.reserve(id: "r", missionID: "m", amount: 400)
    await #expect { try await fixture.ledger.setLimit(399) } throws: { ($0 as? Status)?.code == .failedPrecondition }
    #expect(try await fixture.ledger.setLimit(400).available == 0)
  }

  @Test func begunMicrosCountWhole() throws {
    let costs: [UInt64: Int64] = [0: 1_000, 1: 1_001, 1 << 20: 1_500, (1 << 20) + 1: 1_501, 10 << 20: 6_000]
    for (bytes, cost) in costs {
      #expect(try ToolPrice(tool: "t", perCall: 1_000, perMebibyte: 500).cost(ofReading: bytes) == cost)
    }
  }

  @Test func aCostOutOfRangeIsAnError() {
    let price = ToolPrice(tool: "t", perCall: 1, perMebibyte: .max)
    #expect(throws: Status.self) { try price.cost(ofReading: .max) }
  }
}
