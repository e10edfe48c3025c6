import Foundation
import Messages
import RPC
import ServiceKit
import Storage

/// The budget, its reservations and the append-only record of every movement, which always add up:
/// each change of the budget's three figures is written together with its ledger entry in one transaction.
struct Ledger: Sendable {
  let database: Database

  struct Figures: RowDecodable, Hashable {
    var currency: String
    var limit: Int64
    var reserved: Int64
    var spent: Int64
    var available: Int64 { limit - spent - reserved }

    init(row: Row) throws {
      currency = try row.text("currency")
      limit = try row.int64("limit_micros")
      reserved = try row.int64("reserved_micros")
      spent = try row.int64("spent_micros")
    }
  }

  struct Held: RowDecodable, Hashable {
    var id: String
    var missionID: String
    var state: ReservationState
    var amount: Int64
    var settled: Int64

    init(id: String, missionID: String, state: ReservationState, amount: Int64) {
      (self.id, self.missionID, self.state, self.amount, settled) = (id, missionID, state, amount, 0)
    }

    init(row: Row) throws {
      id = try row.text("id")
      missionID = try row.text("mission_id")
      amount = try row.int64("amount_micros")
      settled = try row.int64("settled_micros")
      switch try row.text("state") {
      case "held": state = .held
      case "settled": state = .settled
      default: state = .released
      }
    }
  }

  /// One movement, before it is written.
  private struct Movement {
    var kind: String
    var reservation = ""
    var mission = ""
    var limit: Int64 = 0
    var reserved: Int64 = 0
    var spent: Int64 = 0
  }

  /// Creates the budget if the database is new; an existing one stays as it is.
  func open(limit: Int64, currency: String) async throws {
    try await database.write { connection in
      guard try connection.first("SELECT id FROM budget") == nil else { return }
      try connection.execute(
        "INSERT INTO budget (id, currency, limit_micros) VALUES (1, $1, 0)", currency)
      try Ledger.book(Movement(kind: "limit", limit: limit), connection)
    }
  }

  func figures() async throws -> Figures {
    try await database.read { try Ledger.figures($0) }
  }

  func prices() async throws -> [ToolPrice] {
    try await database.read { connection in
      try connection.rows("SELECT tool, per_call_micros, per_mebibyte_micros FROM prices ORDER BY tool").map(Ledger.price)
    }
  }

  func setLimit(_ limit: Int64) async throws -> Figures {
    try await database.write { connection in
      let before = try Ledger.figures(connection)
      guard limit >= before.spent + before.reserved else {
        throw Status(
          .failedPrecondition,
          "the limit \(limit) is below what is spent (\(before.spent)) and reserved (\(before.reserved)) already")
      }
      if limit != before.limit { try Ledger.book(Movement(kind: "limit", limit: limit - before.limit), connection) }
      return try Ledger.figures(connection)
    }
  }

  /// Holds `amount` under `id`. The same id gives the reservation as it stands; while it is held, it is changed to another
  /// amount, and the ledger notes the difference.
  ///
  /// Throws `Status` RESOURCE_EXHAUSTED, leaving what is held, where the budget does not cover it; ALREADY_EXISTS if the
  /// id is another mission's, or settled with another amount.
  func reserve(id: String, missionID: String, amount: Int64) async throws -> Held {
    try await database.write { connection in
      let existing = try Ledger.reservation(id, connection)
      if let existing {
        if existing.state == .released { return existing }
        guard existing.missionID == missionID, existing.state == .held || existing.amount == amount else {
          throw Status(.alreadyExists, "reservation \(id) exists with another mission or amount")
        }
        if existing.amount == amount { return existing }
      }
      let budget = try Ledger.figures(connection)
      let more = amount - (existing?.amount ?? 0)
      guard more <= budget.available else {
        throw Status(
          .resourceExhausted,
          "the budget is exhausted: \(more) micros needed, \(budget.available) of \(budget.limit) available")
      }
      let held = Held(id: id, missionID: missionID, state: .held, amount: amount)
      if existing == nil {
        try Ledger.insert(held, connection)
      } else {
        try connection.execute("UPDATE reservations SET amount_micros = $2 WHERE id = $1", id, amount)
      }
      try Ledger.book(Movement(kind: "reserve", reservation: id, mission: missionID, reserved: more), connection)
      return held
    }
  }

  /// Books what was spent and frees the rest. `spend` computes the amount from the price list if need be; what exceeds
  /// the reservation is not booked, since the worst case was promised.
  func settle(id: String, spend: @escaping @Sendable ([ToolPrice]) throws -> Int64) async throws -> Held {
    try await database.write { connection in
      guard let held = try Ledger.reservation(id, connection) else {
        throw Status(.notFound, "no reservation \(id)")
      }
      switch held.state {
      case .settled: return held
      case .held: return try Ledger.settle(held, spend, connection)
      default: throw Status(.failedPrecondition, "reservation \(id) is released; nothing can be settled on it")
      }
    }
  }

  func release(id: String) async throws -> Held {
    try await database.write { try Ledger.release(id: id, $0) }
  }

  /// Entries after number `after`, oldest first; of one mission if `missionID` is not empty.
  func entries(after: Int64, missionID: String, limit: Int) async throws -> [LedgerEntry] {
    try await database.read { connection in
      let currency = try Ledger.figures(connection).currency
      let rows = try connection.rows(
        "SELECT * FROM ledger WHERE number > $1 AND ($2 = '' OR mission_id = $2) ORDER BY number LIMIT $3",
        after, missionID, limit)
      return try rows.map { try Ledger.entry($0, currency: currency) }
    }
  }

  // MARK: - Within one transaction

  /// Settles a reservation if there is one to settle: a mission may have gone on without.
  static func settleIfHeld(
    id: String, _ connection: WriteConnection, spend: ([ToolPrice]) throws -> Int64
  ) throws {
    guard let held = try reservation(id, connection), held.state == .held else { return }
    _ = try settle(held, spend, connection)
  }

  private static func settle(
    _ reservation: Held, _ spend: ([ToolPrice]) throws -> Int64, _ connection: WriteConnection
  ) throws -> Held {
    var held = reservation
    let prices = try connection.rows("SELECT tool, per_call_micros, per_mebibyte_micros FROM prices").map(Ledger.price)
    held.settled = min(try spend(prices), held.amount)
    held.state = .settled
    try connection.execute(
      "UPDATE reservations SET state = 'settled', settled_micros = $2 WHERE id = $1", held.id, held.settled)
    try book(
      Movement(
        kind: "settle", reservation: held.id, mission: held.missionID, reserved: -held.amount, spent: held.settled),
      connection)
    return held
  }

  static func release(id: String, _ connection: WriteConnection) throws -> Held {
    guard var held = try reservation(id, connection) else {
      let released = Held(id: id, missionID: "", state: .released, amount: 0)
      try insert(released, connection)
      return released
    }
    guard held.state == .held else { return held }
    held.state = .released
    try connection.execute("UPDATE reservations SET state = 'released' WHERE id = $1", id)
    try book(
      Movement(kind: "release", reservation: id, mission: held.missionID, reserved: -held.amount), connection)
    return held
  }

  static func figures(_ connection: some ReadConnection) throws -> Figures {
    let sql = "SELECT currency, limit_micros, reserved_micros, spent_micros FROM budget"
    guard let row = try connection.first(sql) else {
      throw Status(.internalError, "the budget has not been created")
    }
    return try Figures(row: row)
  }

  private static func reservation(_ id: String, _ connection: some ReadConnection) throws -> Held? {
    try connection.first(
      "SELECT id, mission_id, state, amount_micros, settled_micros FROM reservations WHERE id = $1", id
    ).map(Held.init)
  }

  private static func price(_ row: Row) throws -> ToolPrice {
    ToolPrice(
      tool: try row.text("tool"), perCall: try row.int64("per_call_micros"),
      perMebibyte: try row.int64("per_mebibyte_micros"))
  }

  private static func insert(_ held: Held, _ connection: WriteConnection) throws {
    try connection.execute(
      "INSERT INTO reservations (id, mission_id, state, amount_micros) VALUES ($1, $2, $3, $4)",
      held.id, held.missionID, held.state == .held ? "held" : "released", held.amount)
  }

  /// Numbers are taken here and not by the database, whose own may have gaps: a ledger must not look incomplete.
  private static func book(_ movement: Movement, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      UPDATE budget SET limit_micros = limit_micros + $1, reserved_micros = reserved_micros + $2,
        spent_micros = spent_micros + $3
      """, movement.limit, movement.reserved, movement.spent)
    try connection.execute(
      """
      INSERT INTO ledger
        (number, time_us, kind, reservation_id, mission_id, limit_change, reserved_change, spent_change)
      VALUES ((SELECT coalesce(max(number), 0) + 1 FROM ledger), $1, $2, $3, $4, $5, $6, $7)
      """, Date(), movement.kind, movement.reservation, movement.mission, movement.limit, movement.reserved,
      movement.spent)
  }

  private static func entry(_ row: Row, currency: String) throws -> LedgerEntry {
    func money(_ column: String) throws -> Money { Money(micros: try row.int64(column), currency: currency) }
    var entry = LedgerEntry()
    entry.number = try row.int64("number")
    entry.time = GoogleProtobufTimestamp(try row.date("time_us"))
    entry.kind =
      switch try row.text("kind") {
      case "limit": .limit
      case "reserve": .reserve
      case "settle": .settle
      default: .release
      }
    entry.reservationId = try row.text("reservation_id")
    entry.missionId = try row.text("mission_id")
    entry.limitChange = try money("limit_change")
    entry.reservedChange = try money("reserved_change")
    entry.spentChange = try money("spent_change")
    return entry
  }
}

// MARK: - Metrics

extension Ledger {
  @Sendable func samples() async throws -> [MetricSample] {
    let budget = try await figures()
    let labels = ["currency": budget.currency]
    return [
      MetricSample(BuddySeries.budgetLimit, Double(budget.limit), labels),
      MetricSample(BuddySeries.budgetReserved, Double(budget.reserved), labels),
      MetricSample(BuddySeries.budgetSpent, Double(budget.spent), labels),
    ]
  }
}
