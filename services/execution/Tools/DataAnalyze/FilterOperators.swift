/// The words of comparisons.
enum FilterOperators {
  private static let phrases: [(words: [String], operator: FilterParser.Operator, negated: Bool)] = [
    make("is not missing|is not empty|is not null|is not blank|is present|is known|exists|is there", .present),
    make("is missing|is empty|is null|is blank|are missing|missing|is unknown", .missing),
    make("not between|is not between", .between, negated: true),
    make("is between|between|from|ranges from", .between),
    make("is not in|not in|is none of|none of", .oneOf, negated: true),
    make("is one of|one of|is in|is any of|any of", .oneOf),
    make(
      "!=|<>|is not equal to|not equal to|is not|are not|isn't|isnt|aren't|is different from"
        + "|does not equal|differs from|not",
      .compare(.notEqual)),
    make(
      ">=|is at least|at least|no less than|is no less than|since|from at least|is greater than or equal to",
      .compare(.greaterOrEqual)),
    make(
      "<=|is at most|at most|no more than|is no more than|up to|until|is less than or equal to",
      .compare(.lessOrEqual)),
    make(
      ">|is above|above|is over|over|is greater than|greater than|is more than|more than|is higher than|higher than"
        + "|is larger than|larger than|exceeds|exceeding|is after|after|is bigger than|bigger than|are above|are over",
      .compare(.greater)),
    make(
      "<|is below|below|is under|under|is less than|less than|fewer than|is fewer than|is lower than|lower than"
        + "|is smaller than|smaller than|is before|before|are below|are under", .compare(.less)),
    make("does not contain|doesn't contain|not containing", .text(.contains), negated: true),
    make("contains|contain|containing|includes|including|has|like", .text(.contains)),
    make("starts with|start with|starting with|begins with|beginning with", .text(.startsWith)),
    make("ends with|end with|ending with", .text(.endsWith)),
    make("==|=|is equal to|equal to|equals|is|are|was|were|of|in|on|:", .compare(.equal)),
  ].flatMap { $0 }.sorted { $0.words.count > $1.words.count }

  private static func make(
    _ texts: String, _ kind: FilterParser.Operator, negated: Bool = false
  ) -> [(words: [String], operator: FilterParser.Operator, negated: Bool)] {
    texts.split(separator: "|").map { ($0.split(separator: " ").map(String.init), kind, negated) }
  }

  /// The longest operator at `index`, which then moves behind it.
  static func match(_ tokens: [DataWord], _ index: inout Int) -> (FilterParser.Operator, negated: Bool)? {
    for phrase in phrases where phrase.words.count <= tokens.count - index {
      if zip(phrase.words, tokens[index...]).allSatisfy({ $0 == ($1.kind == .quoted ? "" : $1.lower) }) {
        index += phrase.words.count
        return (phrase.operator, phrase.negated)
      }
    }
    return nil
  }

  /// `or more`, `or less` behind a number.
  static func trailing(_ tokens: [DataWord], _ index: Int) -> (RowFilter.Comparison, Int)? {
    guard index + 1 < tokens.count, tokens[index].lower == "or" || tokens[index].lower == "and" else { return nil }
    switch tokens[index + 1].lower {
    case "more", "higher", "above", "over", "greater", "up", "larger": return (.greaterOrEqual, 2)
    case "less", "fewer", "below", "under", "lower", "smaller": return (.lessOrEqual, 2)
    default: return nil
    }
  }
}

/// Spans of time as people name them.
enum FilterValues {
  enum Period: Sendable, Hashable {
    /// Seconds since 1970, end exclusive.
    case span(from: Int64, to: Int64)
    /// A month of any year, 1…12.
    case monthOfYear(Int)

    func filter(_ column: Int, _ comparison: RowFilter.Comparison) throws -> RowFilter {
      switch self {
      case .monthOfYear(let month):
        guard comparison == .equal || comparison == .notEqual else {
          throw ToolError("BAD_FILTER", "A month without a year has no before or after; name the year too.")
        }
        return comparison == .equal ? .monthOfYear(column, month) : .not(.monthOfYear(column, month))
      case .span(let from, let to):
        switch comparison {
        case .equal: return .period(column, from: from, to: to)
        case .notEqual: return .not(.period(column, from: from, to: to))
        case .less: return .period(column, from: nil, to: from)
        case .lessOrEqual: return .period(column, from: nil, to: to)
        case .greater: return .period(column, from: to, to: nil)
        case .greaterOrEqual: return .period(column, from: from, to: nil)
        }
      }
    }
  }

  /// `2023`, `2023-05`, `May 2023`, `Q2 2023`, `May`, `2023-05-04`, `4 May 2023`.
  static func period(_ tokens: [DataWord], _ index: Int) -> (Period, Int)? {
    for length in stride(from: min(4, tokens.count - index), through: 1, by: -1) {
      let words = tokens[index..<(index + length)].filter { $0.text != "," }
      if words.count < length, words.count < 2 { continue }
      if let period = period(words.map(\.text)) { return (period, length) }
    }
    return nil
  }

  private static func period(_ words: [String]) -> Period? {
    let text = words.joined(separator: " ")
    if words.count == 1, let year = year(text) { return span(year, 1, months: 12) }
    if words.count == 1, let month = DateText.month(text) { return .monthOfYear(month) }
    if words.count == 2, words[0].uppercased().hasPrefix("Q"), let quarter = Int(words[0].dropFirst()),
      (1...4).contains(quarter), let year = year(words[1])
    {
      return span(year, quarter * 3 - 2, months: 3)
    }
    guard let date = DateText.parse(text) else { return nil }
    let day = DateText.civil(days: Int((date.seconds - (date.seconds % 86_400 + 86_400) % 86_400) / 86_400))
    switch date.precision {
    case .month: return span(day.year, day.month, months: 1)
    case .day: return .span(from: date.seconds, to: date.seconds + 86_400)
    case .second: return .span(from: date.seconds, to: date.seconds + 1)
    }
  }

  private static func year(_ text: String) -> Int? {
    guard text.count == 4, let year = Int(text), (1000...2999).contains(year) else { return nil }
    return year
  }

  private static func span(_ year: Int, _ month: Int, months: Int) -> Period {
    let next = (year * 12 + month - 1) + months
    return .span(
      from: Int64(DateText.days(year, month, 1)) * 86_400,
      to: Int64(DateText.days(next / 12, next % 12 + 1, 1)) * 86_400)
  }
}
