/// A table that answers a question.
struct QueryResult: Sendable {
  enum Role: Sendable, Hashable {
    case category
    /// Text cells are ISO dates, cut to the part.
    case time(DatePart)
    case number
  }

  struct Column: Sendable {
    let title: String
    let role: Role
  }

  struct Cell: Sendable {
    /// As in the CSV; empty if there is none.
    let text: String
    let number: Double?

    static let empty = Cell(text: "", number: nil)

    init(text: String, number: Double? = nil) {
      self.text = text
      self.number = number
    }

    init(_ value: Numeric) { self.init(text: value.text, number: value.double) }
    init(double: Double) { self.init(text: Numeric.text(double), number: double) }
    init(count: Int) { self.init(text: String(count), number: Double(count)) }
  }

  var columns: [Column]
  var rows: [[Cell]]
  /// How many of the first columns say what a row is about.
  var keyCount: Int
  var title: String
  /// One sentence: exactly what was computed, on how many rows, how many were skipped and why.
  var statement: String
  var notes: [String] = []
}

/// Counts what took part and what did not.
struct RowAccount: Sendable {
  var total = 0
  var filtered = 0
  /// Skipped rows by reason, in the order in which reasons came up.
  private(set) var skipped: [(reason: String, rows: Int)] = []

  mutating func skip(_ reason: String, rows: Int) {
    if rows > 0 { skipped.append((reason, rows)) }
  }

  /// ` on 698 of 730 rows …; 32 skipped: 30 without price, 2 without date`
  func text(used: Int, condition: String?) -> String {
    var text = used == total ? "on all \(counted(total, "row"))" : "on \(grouped(used)) of \(counted(total, "row"))"
    if let condition { text += " (\(grouped(filtered)) where \(condition))" }
    if !skipped.isEmpty {
      text += "; skipped: " + listed(skipped.map { "\(grouped($0.rows)) \($0.reason)" })
    }
    return text
  }
}
