/// Turns a filter into one yes or no for every row.
struct FilterEvaluator {
  let table: DataTable
  let check: () throws -> Void

  func mask(_ filter: RowFilter) throws -> [Bool] {
    switch filter {
    case .all(let parts): try combine(parts) { $0 && $1 }
    case .any(let parts): try combine(parts) { $0 || $1 }
    case .not(let part): try mask(part).map { !$0 }
    case .number(let column, let comparison, let value):
      try table.numbers(table.columns[column], check: check).map {
        $0.map { Self.test($0.double, comparison, value) } ?? false
      }
    case .text(let column, let test, let value):
      try table.texts(table.columns[column], check: check).map {
        $0.map { Self.test($0.lowercased(), test, value.lowercased()) } ?? false
      }
    case .bool(let column, let value):
      try table.texts(table.columns[column], check: check).map { $0.flatMap(BoolText.parse) == value }
    case .period(let column, let from, let to): try period(column, from, to)
    case .monthOfYear(let column, let month):
      try table.dates(table.columns[column], check: check).map { date in
        date.map { DateText.civil(days: DatePartKey.day($0.seconds)).month == month } ?? false
      }
    case .missing(let column): (0..<table.rowCount).map { table.isMissing($0, column) }
    }
  }

  /// A number column is a column of years.
  private func period(_ column: Int, _ from: Int64?, _ to: Int64?) throws -> [Bool] {
    try table.dates(table.columns[column], check: check).map { date in
      guard let seconds = date?.seconds else { return false }
      return (from.map { seconds >= $0 } ?? true) && (to.map { seconds < $0 } ?? true)
    }
  }

  private func combine(_ parts: [RowFilter], _ join: (Bool, Bool) -> Bool) throws -> [Bool] {
    guard var result = try parts.first.map(mask) else { return [] }
    for part in parts.dropFirst() {
      let other = try mask(part)
      for row in result.indices { result[row] = join(result[row], other[row]) }
    }
    return result
  }

  private static func test(_ value: Double, _ comparison: RowFilter.Comparison, _ other: Double) -> Bool {
    switch comparison {
    case .equal: value == other
    case .notEqual: value != other
    case .less: value < other
    case .lessOrEqual: value <= other
    case .greater: value > other
    case .greaterOrEqual: value >= other
    }
  }

  private static func test(_ value: String, _ test: RowFilter.TextTest, _ other: String) -> Bool {
    switch test {
    case .equal: value == other
    case .contains: value.contains(other)
    case .startsWith: value.hasPrefix(other)
    case .endsWith: value.hasSuffix(other)
    }
  }

  /// The filter in words.
  func text(_ filter: RowFilter) -> String {
    switch filter {
    case .all(let parts):
      return parts.map { if case .any = $0 { "(\(text($0)))" } else { text($0) } }.joined(separator: " and ")
    case .any(let parts): return parts.map(text).joined(separator: " or ")
    case .not(let part): return negated(part)
    case .number(let column, let comparison, let value):
      let signs: [RowFilter.Comparison: String] = [
        .equal: "=", .notEqual: "≠", .less: "<", .lessOrEqual: "≤", .greater: ">", .greaterOrEqual: "≥",
      ]
      return "\(name(column)) \(signs[comparison] ?? "") \(Numeric.text(value))"
    case .text(let column, let test, let value):
      let verbs: [RowFilter.TextTest: String] = [
        .equal: "is", .contains: "contains", .startsWith: "starts with", .endsWith: "ends with",
      ]
      return "\(name(column)) \(verbs[test] ?? "") '\(value)'"
    case .bool(let column, let value): return "\(name(column)) is \(value ? "yes" : "no")"
    case .period(let column, let from, let to): return periodText(column, from, to)
    case .monthOfYear(let column, let month):
      return "\(name(column)) is in \(DateText.months[month - 1].capitalizedFirst)"
    case .missing(let column): return "\(name(column)) is missing"
    }
  }

  private func negated(_ filter: RowFilter) -> String {
    if case .missing(let column) = filter { return "\(name(column)) is not missing" }
    // Other programs leave missing cells out here, so the rule is said where there are some.
    let rule = columns(filter).contains { table.columns[$0].missing > 0 } ? " (or is missing)" : ""
    if case .text(let column, .equal, let value) = filter { return "\(name(column)) is not '\(value)'\(rule)" }
    return "not (\(text(filter)))\(rule)"
  }

  private func columns(_ filter: RowFilter) -> [Int] {
    switch filter {
    case .all(let parts), .any(let parts): parts.flatMap(columns)
    case .not(let part): columns(part)
    case .number(let column, _, _), .text(let column, _, _), .bool(let column, _), .period(let column, _, _),
      .monthOfYear(let column, _), .missing(let column):
      [column]
    }
  }

  private func periodText(_ column: Int, _ from: Int64?, _ to: Int64?) -> String {
    switch (from, to) {
    case (let from?, let to?):
      let last = DatePartKey.isoText(to - 1), first = DatePartKey.isoText(from)
      return "\(name(column)) is " + (first == last ? first : "from \(first) to \(last)")
    case (let from?, nil): return "\(name(column)) is \(DatePartKey.isoText(from)) or later"
    case (nil, let to?): return "\(name(column)) is before \(DatePartKey.isoText(to))"
    case (nil, nil): return "\(name(column)) has a date"
    }
  }

  private func name(_ column: Int) -> String { table.columns[column].name }
}
