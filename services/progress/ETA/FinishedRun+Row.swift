import Storage

/// Runs of history as table `durations` keeps them.
extension FinishedRun: RowDecodable {
  private static let columns = [
    "verification_us", "intent_us", "budget_us", "selection_us", "execution_us", "finalize_us",
  ]

  init(row: Row) throws {
    self.init(
      number: try row.int64("number"),
      key: RunKey(recipe: try row.text("recipe"), tool: try row.text("tool"), intent: try row.text("intent")),
      seconds: try Self.columns.map { try Double(row.int64($0)) / 1e6 },
      reports: Self.reports(try row.text("reports")))
  }

  /// Stores it, and returns it with its number.
  func inserted(_ connection: WriteConnection) throws -> FinishedRun {
    let arguments: [any ValueConvertible] = [key.recipe, key.tool, key.intent] + seconds.map(Self.micros) + [text]
    guard let row = try connection.first(Self.insert, arguments: arguments) else { return self }
    var stored = self
    stored.number = try row.int64("number")
    return stored
  }

  private static let insert =
    "INSERT INTO durations (recipe, tool, intent, \(columns.joined(separator: ", ")), reports) "
    + "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING number"

  /// A run that took centuries is one whose clock was wrong; it must not keep events from being stored.
  private static func micros(_ seconds: Double) -> Int64 { Int64((min(max(seconds, 0), 1e10) * 1e6).rounded()) }

  private var text: String {
    reports.map { "\(Self.micros($0.fraction)) \(Self.micros($0.at))" }.joined(separator: " ")
  }

  private static func reports(_ text: String) -> [Report] {
    let numbers = text.split(separator: " ").compactMap { Int64($0) }
    return stride(from: 0, to: numbers.count - numbers.count % 2, by: 2).map {
      Report(fraction: Double(numbers[$0]) / 1e6, at: Double(numbers[$0 + 1]) / 1e6)
    }
  }
}
