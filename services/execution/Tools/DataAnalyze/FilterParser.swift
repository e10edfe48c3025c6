/// Reads conditions: `region is North and price > 100`, `in 2023`, `between 5 and 9`, `city is Rome or Oslo`.
struct FilterParser {
  let tokens: [DataWord]
  let objective: [Character]
  let table: DataTable
  let matcher: ColumnMatcher
  let check: () throws -> Void

  enum Operator: Sendable {
    case compare(RowFilter.Comparison), text(RowFilter.TextTest), between, oneOf, missing, present
  }

  /// `and` binds tighter than `or`. Nil if no condition starts at `index`, which then stays.
  func conditions(_ index: inout Int) throws -> RowFilter? {
    guard let first = try conjunction(&index) else { return nil }
    var any = [first]
    while let next = connective(index, ["or"]) {
      var ahead = next
      guard let other = try conjunction(&ahead) else { break }
      any.append(other)
      index = ahead
    }
    return any.count == 1 ? first : .any(any)
  }

  private func conjunction(_ index: inout Int) throws -> RowFilter? {
    guard let first = try condition(&index) else { return nil }
    var all = [first]
    while let next = connective(index, ["and", ",", "but"]) {
      var ahead = next
      if let word = token(ahead), ["where", "with", "whose", "in", "for"].contains(word.lower) { ahead += 1 }
      guard let other = try condition(&ahead) else { break }
      all.append(other)
      index = ahead
    }
    return all.count == 1 ? first : .all(all)
  }

  private func connective(_ index: Int, _ words: Set<String>) -> Int? {
    guard let word = token(index), words.contains(word.lower) || (word.text == "," && words.contains(",")) else {
      return nil
    }
    return word.text == "," && token(index + 1)?.lower == "and" ? index + 2 : index + 1
  }

  private func token(_ index: Int) -> DataWord? { tokens.indices.contains(index) ? tokens[index] : nil }

  /// One condition that starts with a column's name.
  private func condition(_ index: inout Int) throws -> RowFilter? {
    var at = index
    var negated = false
    while let word = token(at)?.lower, word == "the" || word == "not" || word == "a" {
      if word == "not" { negated.toggle() }
      at += 1
    }
    guard let match = try matcher.match(tokens, at: at, role: .any, partial: true) else { return nil }
    at += match.length
    guard let filter = try comparison(match.column, &at) else { return nil }
    index = at
    return negated ? .not(filter) : filter
  }

  /// What follows a column's name. Nil if nothing does that could be a test.
  func comparison(_ column: DataColumn, _ index: inout Int) throws -> RowFilter? {
    let explicit = FilterOperators.match(tokens, &index)
    let (kind, negated) = explicit ?? (.compare(.equal), false)
    let filter: RowFilter?
    switch kind {
    case .missing: filter = .missing(column.index)
    case .present: filter = .not(.missing(column.index))
    case .between: filter = try between(column, &index)
    case .oneOf, .compare(.equal): filter = try alternatives(column, &index, required: explicit != nil)
    case .compare(.notEqual):
      // A missing cell is not North either, and is counted.
      filter = try alternatives(column, &index, required: true).map { .not($0) }
    case .compare(let comparison): filter = try ordered(column, comparison, &index)
    case .text(let test):
      filter = .text(column.index, test, try value(column, &index).text)
    }
    return filter.map { negated ? .not($0) : $0 }
  }

  /// `North`, `North or South`, `(North, South)`.
  private func alternatives(_ column: DataColumn, _ index: inout Int, required: Bool) throws -> RowFilter? {
    if try !required && !startsValue(column, index) {
      guard column.type == .bool else { return nil }
      return .bool(column.index, true)
    }
    let list = token(index)?.text == "("
    if list { index += 1 }
    var filters = [try equal(column, &index)]
    while let next = connective(index, list ? ["or", "and", ","] : ["or"]) {
      // "… or price > 5" is a new condition, not another value.
      let named = try matcher.match(tokens, at: next, role: .any, partial: false) != nil
      let isValue = try startsValue(column, next)
      guard list || (!named && isValue) else { break }
      index = next
      filters.append(try equal(column, &index))
    }
    if list, token(index)?.text == ")" { index += 1 }
    return filters.count == 1 ? filters[0] : .any(filters)
  }

  private func startsValue(_ column: DataColumn, _ index: Int) throws -> Bool {
    guard let word = token(index), word.kind != .symbol else { return false }
    switch column.type {
    case .number: return word.number != nil
    case .date: return FilterValues.period(tokens, index) != nil
    case .bool: return BoolText.parse(word.text) != nil
    case .text:
      if word.kind == .quoted { return true }
      return try known(column, index) != nil
    }
  }

  private func equal(_ column: DataColumn, _ index: inout Int) throws -> RowFilter {
    switch column.type {
    case .number:
      let number = try number(column, &index)
      // "100 or more"
      if let (comparison, length) = FilterOperators.trailing(tokens, index) {
        index += length
        return .number(column.index, comparison, number)
      }
      return .number(column.index, .equal, number)
    case .date: return try date(column, &index).filter(column.index, .equal)
    case .bool:
      let text = try value(column, &index).text
      guard let bool = BoolText.parse(text) else { throw wrongType(column, text) }
      return .bool(column.index, bool)
    case .text: return .text(column.index, .equal, try value(column, &index).text)
    }
  }

  private func ordered(_ column: DataColumn, _ comparison: RowFilter.Comparison, _ index: inout Int) throws -> RowFilter
  {
    switch column.type {
    case .number: return .number(column.index, comparison, try number(column, &index))
    case .date: return try date(column, &index).filter(column.index, comparison)
    case .bool, .text: throw wrongType(column, token(index)?.text ?? "")
    }
  }

  private func between(_ column: DataColumn, _ index: inout Int) throws -> RowFilter {
    let comparisons: [RowFilter.Comparison] = [.greaterOrEqual, .lessOrEqual]
    var parts: [RowFilter] = []
    for comparison in comparisons {
      parts.append(try ordered(column, comparison, &index))
      if parts.count == 1 {
        guard let word = token(index)?.lower, word == "and" || word == "to" || word == "-" else {
          throw ToolError("BAD_FILTER", "After 'between' two values are needed, like 'between 5 and 9'.")
        }
        index += 1
      }
    }
    return .all(parts)
  }

  private func number(_ column: DataColumn, _ index: inout Int) throws -> Double {
    guard let word = token(index) else { throw missingValue(column) }
    guard let number = word.number ?? NumberText.parse(word.text)?.double else { throw wrongType(column, word.text) }
    index += 1
    return number
  }

  private func date(_ column: DataColumn, _ index: inout Int) throws -> FilterValues.Period {
    guard let word = token(index) else { throw missingValue(column) }
    guard let (period, length) = FilterValues.period(tokens, index) else { throw wrongType(column, word.text) }
    index += length
    return period
  }

  /// A value as text: the longest run of words that the column really contains, else the words up to the next clause.
  private func value(_ column: DataColumn, _ index: inout Int) throws -> (text: String, known: Bool) {
    guard let word = token(index) else { throw missingValue(column) }
    if word.kind == .quoted {
      index += 1
      return (word.text, true)
    }
    if let (text, length) = try known(column, index) {
      index += length
      return (text, true)
    }
    var end = index + 1
    while let next = token(end), next.kind != .symbol, !["and", "or", "but"].contains(next.lower),
      QuestionLexicon.clause(tokens, at: end) == nil
    { end += 1 }
    let text = String(objective[tokens[index].range.lowerBound..<tokens[end - 1].range.upperBound])
    index = end
    return (text, false)
  }

  /// The longest run of words at `index` that is a value of the column.
  func known(_ column: DataColumn, _ index: Int) throws -> (text: String, length: Int)? {
    guard token(index) != nil, let values = try table.distinct(column, check: check) else { return nil }
    let length = min(8, tokens.count - index)
    for count in stride(from: length, through: 1, by: -1) {
      let text = String(objective[tokens[index].range.lowerBound..<tokens[index + count - 1].range.upperBound])
      if let value = values[text.lowercased()] { return (value, count) }
    }
    return nil
  }

  private func missingValue(_ column: DataColumn) -> ToolError {
    ToolError("BAD_FILTER", "The condition on '\(column.name)' has no value.", details: ["column": column.name])
  }

  private func wrongType(_ column: DataColumn, _ text: String) -> ToolError {
    ToolError(
      "BAD_FILTER",
      "'\(text.shortened(to: 40))' cannot be compared with '\(column.name)', which holds \(column.type.name) values.",
      details: ["column": column.name, "value": text, "type": column.type.name])
  }
}
