import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.investment.v1.Investment` on the wire; the rules are the ledger's.
struct InvestmentService: InvestmentHandler {
  let ledger: Ledger

  func listPrices(_ request: ListPricesRequest, _ context: ServerContext) async throws -> ListPricesResponse {
    let currency = try await ledger.figures().currency
    return ListPricesResponse(
      prices: try await ledger.prices().map { price in
        Price(
          tool: price.tool, perCall: Money(micros: price.perCall, currency: currency),
          perMebibyte: Money(micros: price.perMebibyte, currency: currency))
      })
  }

  func estimate(_ request: EstimateRequest, _ context: ServerContext) async throws -> EstimateResponse {
    let currency = try await ledger.figures().currency
    let prices = try await ledger.prices()
    return EstimateResponse(
      estimates: try request.uses.map { try Self.estimate($0, prices, currency) })
  }

  static func estimate(_ use: ToolUse, _ prices: [ToolPrice], _ currency: String) throws -> Estimate {
    let price = try price(of: use, in: prices, currency)
    let expected = try price.cost(ofReading: use.expectedBytes)
    let worst = try price.cost(ofReading: max(use.expectedBytes, use.maximumBytes))
    return Estimate(
      tool: use.tool, expected: Money(micros: expected, currency: currency),
      worstCase: Money(micros: worst, currency: currency))
  }

  func reserve(_ request: ReserveRequest, _ context: ServerContext) async throws -> Reservation {
    let currency = try await ledger.figures().currency
    let amount = try Self.micros(request.amount, "amount", currency)
    try Self.requireID(request.id)
    if request.missionBudget != nil {
      let limit = try Self.micros(request.missionBudget, "mission_budget", currency)
      guard amount <= limit else {
        throw Status(.resourceExhausted, "the mission's budget of \(limit) micros does not cover \(amount)")
      }
    }
    let held = try await ledger.reserve(id: request.id, missionID: request.missionId, amount: amount)
    return Self.wire(held, currency)
  }

  func settle(_ request: SettleRequest, _ context: ServerContext) async throws -> Reservation {
    let currency = try await ledger.figures().currency
    try Self.requireID(request.id)
    let held = try await ledger.settle(id: request.id, spend: try Self.spend(request, currency))
    return Self.wire(held, currency)
  }

  /// How much a settlement is about, once the prices are known.
  private static func spend(
    _ request: SettleRequest, _ currency: String
  ) throws -> @Sendable ([ToolPrice]) throws -> Int64 {
    switch request.spent {
    case .actual(let money):
      let amount = try micros(money, "actual", currency)
      return { _ in amount }
    case .use(let use):
      return { prices in try price(of: use, in: prices, currency).cost(ofReading: use.expectedBytes) }
    case nil:
      throw Status(.invalidArgument, "either `actual` or `use` must be given")
    }
  }

  func release(_ request: ReleaseRequest, _ context: ServerContext) async throws -> Reservation {
    try Self.requireID(request.id)
    let held = try await ledger.release(id: request.id)
    return Self.wire(held, try await ledger.figures().currency)
  }

  func getBudget(_ request: GetBudgetRequest, _ context: ServerContext) async throws -> Budget {
    Self.wire(try await ledger.figures())
  }

  func setBudget(_ request: SetBudgetRequest, _ context: ServerContext) async throws -> Budget {
    let currency = try await ledger.figures().currency
    return Self.wire(try await ledger.setLimit(try Self.micros(request.limit, "limit", currency)))
  }

  func listLedger(_ request: ListLedgerRequest, _ context: ServerContext) async throws -> ListLedgerResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    guard let after = page.after.isEmpty ? 0 : Int64(page.after) else { throw Page.invalidToken }
    let entries = try await ledger.entries(after: after, missionID: request.missionId, limit: page.size + 1)
    let shown = Array(entries.prefix(page.size))
    let next = entries.count > page.size ? Page.token(after: String(shown.last?.number ?? 0)) : ""
    return ListLedgerResponse(entries: shown, nextPageToken: next)
  }

  /// What is taken in from the outbox of the execution service.
  static let inboxTopics = [
    InboxTopic("investment", ReleaseRequest.self) { request, _, connection in
      try requireID(request.id)
      _ = try Ledger.release(id: request.id, connection)
    },
    InboxTopic("settlement", SettleRequest.self) { request, _, connection in
      try requireID(request.id)
      let spend = try spend(request, Ledger.figures(connection).currency)
      try Ledger.settleIfHeld(id: request.id, connection, spend: spend)
    },
  ]

  // MARK: - Wire and domain

  /// The price list's, else what the tool itself asks.
  private static func price(of use: ToolUse, in prices: [ToolPrice], _ currency: String) throws -> ToolPrice {
    if let price = prices.first(where: { $0.tool == use.tool }) { return price }
    guard let declared = use.declared else {
      throw Status(.notFound, "no price is known for the tool \"\(use.tool)\"")
    }
    func micros(_ money: Money?, _ field: String) throws -> Int64 {
      try money.map { try Self.micros($0, "declared.\(field)", currency) } ?? 0
    }
    return ToolPrice(
      tool: use.tool, perCall: try micros(declared.perCall, "per_call"),
      perMebibyte: try micros(declared.perMebibyte, "per_mebibyte"))
  }

  private static func requireID(_ id: String) throws {
    guard (1...200).contains(id.count) else {
      throw Status(.invalidArgument, "a reservation id has 1 to 200 characters, not \(id.count)")
    }
  }

  /// The micros of an amount that must be given, must not be negative and must be in the ledger's currency.
  private static func micros(_ money: Money?, _ field: String, _ currency: String) throws -> Int64 {
    guard let money else { throw Status(.invalidArgument, "\(field) is missing") }
    guard money.micros >= 0 else { throw Status(.invalidArgument, "\(field) is negative: \(money.micros)") }
    guard money.currency == currency else {
      throw Status(.invalidArgument, "\(field) is in \"\(money.currency)\"; the ledger is in \(currency)")
    }
    return money.micros
  }

  private static func wire(_ held: Ledger.Held, _ currency: String) -> Reservation {
    Reservation(
      id: held.id, missionId: held.missionID, state: held.state,
      amount: Money(micros: held.amount, currency: currency),
      settled: held.state == .settled ? Money(micros: held.settled, currency: currency) : nil)
  }

  private static func wire(_ figures: Ledger.Figures) -> Budget {
    func money(_ micros: Int64) -> Money { Money(micros: micros, currency: figures.currency) }
    return Budget(
      limit: money(figures.limit), spent: money(figures.spent), reserved: money(figures.reserved),
      available: money(figures.available))
  }
}
