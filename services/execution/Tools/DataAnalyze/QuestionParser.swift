/// Reads an objective as a question about one table. Nothing is guessed silently: what was assumed is said in the
/// answer, what fits several columns or none is an error that names them.
struct QuestionParser {
  let objective: [Character]
  let table: DataTable
  let tokens: [DataWord]
  let matcher: ColumnMatcher
  let filters: FilterParser
  let check: () throws -> Void
  let inputNames: Set<String>

  var index = 0
  var draft = QuestionDraft()

  /// Throws `UNKNOWN_COLUMN`, `AMBIGUOUS_COLUMN`, `BAD_FILTER`, `NOT_UNDERSTOOD`.
  static func parse(
    _ objective: String, table: DataTable, inputNames: [String] = [], check: @escaping () throws -> Void
  ) throws -> QuestionDraft {
    var parser = QuestionParser(objective, table, inputNames, check)
    try parser.run()
    return parser.draft
  }

  /// The conditions of the `filter` parameter.
  static func filter(_ text: String, table: DataTable, check: @escaping () throws -> Void) throws -> RowFilter {
    let parser = QuestionParser(text, table, [], check)
    var index = 0
    guard let filter = try parser.filters.conditions(&index), index == parser.tokens.count else {
      let rest = index < parser.tokens.count ? parser.tokens[index].text : text
      if index == 0, let match = try parser.matcher.match(parser.tokens, at: 0, role: .any, partial: true) {
        throw parser.unreadable(match.column)
      }
      if index == 0 { throw parser.matcher.unknown(rest, also: " in the filter") }
      throw ToolError("BAD_FILTER", "The filter cannot be read from '\(rest)' on.", details: ["filter": text])
    }
    return filter
  }

  private init(_ text: String, _ table: DataTable, _ inputNames: [String], _ check: @escaping () throws -> Void) {
    objective = Array(text)
    self.table = table
    self.check = check
    tokens = DataWords.split(text)
    matcher = ColumnMatcher(columns: table.columns)
    self.inputNames = Set(
      inputNames.flatMap { [$0.lowercased(), $0.lowercased().split(separator: ".").first.map(String.init) ?? ""] })
    filters = FilterParser(tokens: tokens, objective: objective, table: table, matcher: matcher, check: check)
  }

  mutating func run() throws {
    while index < tokens.count {
      try check()
      if try takeSlice() { continue }
      if let (clause, length) = QuestionLexicon.clause(tokens, at: index) {
        try handle(clause, length)
      } else {
        try mention()
      }
    }
    if draft.pending.isEmpty == false, draft.measures.isEmpty { try settlePending() }
  }

  mutating func handle(_ clause: QuestionLexicon.Clause, _ length: Int) throws {
    let start = index
    index += length
    switch clause {
    case .aggregate(let aggregate): try measure(aggregate, keywordAt: start)
    case .groupBy: try groupBy(keyword: tokens[start].lower)
    case .overTime: draft.groups.append(.datePart(try dateColumn(for: "time").index, .month)); draft.overTime = true
    case .filter: try filter(start, negated: false)
    case .exclude: try filter(start, negated: true)
    case .soft: try softFilter(start)
    case .top(let largest): try top(largest: largest)
    case .extreme(let largest): try extreme(largest: largest, keywordAt: start)
    case .chart(let choice): draft.wantsChart = true; if choice != .automatic { draft.chart = choice }
    case .describe: draft.wantsDescription = true
    case .rows: try wantRows(start)
    case .which: try which()
    case .scatter: draft.wantsScatter = true; draft.wantsChart = true
    case .versus: draft.wantsScatter = true
    case .sort: try sort()
    }
  }

  // MARK: - Measures

  mutating func measure(_ aggregate: Aggregate, keywordAt start: Int) throws {
    skip(["the", "of", "a", "all", "value", "its", "their"])
    draft.pending.append((aggregate, start))
    let role: ColumnMatcher.Role = aggregate.needsNumbers ? .measure : .any
    if let match = try matcher.match(tokens, at: index, role: role, partial: false) {
      return try take(match, role: role)
    }
    if QuestionLexicon.clause(tokens, at: index) != nil || index >= tokens.count || tokens[index].kind == .symbol
      || tokens[index].lower == "and"
    {
      // "minimum, maximum and average price": they wait for the column. A count needs none.
      if aggregate == .count { takeRowCount() }
      return
    }
    if let match = try matcher.match(tokens, at: index, role: role, partial: true) {
      return try take(match, role: role)
    }
    if aggregate == .count {
      takeNoun()
      return takeRowCount()
    }
    if draft.pending.count == 1, let column = try matcher.match(tokens, at: start, role: .measure, partial: false) {
      // A column called "total" or "count" stands for itself.
      draft.pending = []
      draft.bare.append(column.column.index)
      return
    }
    throw matcher.unknown(unknownPhrase())
  }

  mutating func take(_ match: ColumnMatcher.Match, role: ColumnMatcher.Role) throws {
    index += match.length
    var columns = [match.column.index]
    while let next = listContinuation(),
      let more = try matcher.match(tokens, at: next, role: role, partial: true), more.column.type.isNumber,
      QuestionLexicon.clause(tokens, at: next) == nil
    {
      columns.append(more.column.index)
      index = next + more.length
    }
    for column in columns {
      for (aggregate, _) in draft.pending { draft.measures.append(Measure(aggregate: aggregate, column: column)) }
    }
    draft.pending = []
  }

  /// The "orders" of "how many orders per region": what a row stands for, unless the sentence meant something else.
  mutating func takeNoun() {
    let noun = unknownPhrase()
    index += max(1, noun.isEmpty ? 1 : DataWords.split(noun).count)
    let generic: Set<String> = ["row", "record", "entry", "line", "item", "are", "is", "there", "do", "does"]
    guard !noun.isEmpty, !generic.contains(DataWords.stem(noun.lowercased())),
      !QuestionLexicon.filler.contains(noun.lowercased())
    else { return }
    draft.assumptions.append("No column is called '\(noun)': rows were counted.")
  }

  mutating func takeRowCount() {
    draft.pending.removeLast()
    draft.measures.append(Measure(aggregate: .count, column: nil))
  }

  /// Aggregates whose column stood before them ("price average") or was only mentioned.
  mutating func settlePending() throws {
    let numeric = draft.bare.filter { table.columns[$0].type.isNumber }
    if let column = numeric.last {
      for (aggregate, _) in draft.pending { draft.measures.append(Measure(aggregate: aggregate, column: column)) }
      draft.bare.removeAll { $0 == column }
    } else {
      for (_, start) in draft.pending {
        if let column = try matcher.match(tokens, at: start, role: .measure, partial: false) {
          draft.bare.append(column.column.index)
        } else {
          draft.aggregateWithoutColumn = draft.pending[0].0
        }
      }
    }
    draft.pending = []
  }

  // MARK: - Groups

  mutating func groupBy(keyword: String) throws {
    if keyword == "by", draft.top != nil, draft.ranking == nil { return try rankBy() }
    try groupKeys()
  }

  mutating func groupKeys() throws {
    guard let first = try groupKey(required: true) else { return }
    draft.add(first)
    while let next = listContinuation(also: ["then", "by"]) {
      let saved = index
      index = next
      skip(["by", "then"])
      guard QuestionLexicon.clause(tokens, at: index) == nil || isDatePart(), let key = try groupKey(required: false)
      else {
        index = saved
        return
      }
      draft.add(key)
    }
  }

  func isDatePart() -> Bool { index < tokens.count && DatePart.named(stems(from: index)) != nil }

  mutating func groupKey(required: Bool) throws -> GroupKey? {
    skip(["the", "a", "each", "every", "all", "its", "their"])
    if let match = try matcher.match(tokens, at: index, role: .group, partial: false) {
      index += match.length
      return .column(match.column.index)
    }
    if let (part, length) = DatePart.named(stems(from: index)) {
      let dates = table.columns.filter(\.type.isDate)
      let inPart = try? matcher.match(tokens, at: index, role: .group, partial: true)
      if dates.isEmpty, let inPart {
        index += inPart.length
        return .column(inPart.column.index)
      }
      let word = tokens[index].text
      index += length
      return .datePart(try namedDateColumn(orTheOnlyOneFor: word).index, part)
    }
    if let match = try matcher.match(tokens, at: index, role: .group, partial: true) {
      index += match.length
      return .column(match.column.index)
    }
    guard required else { return nil }
    guard index < tokens.count else {
      throw ToolError("NOT_UNDERSTOOD", "The objective ends where a column to group by is expected.")
    }
    throw matcher.unknown(unknownPhrase())
  }

  /// "month of order date", or the table's only date column.
  mutating func namedDateColumn(orTheOnlyOneFor word: String) throws -> DataColumn {
    var ahead = index
    if ahead < tokens.count, ["of", "in", "from"].contains(tokens[ahead].lower) { ahead += 1 }
    while ahead < tokens.count, tokens[ahead].lower == "the" { ahead += 1 }
    if let match = try? matcher.match(tokens, at: ahead, role: .any, partial: true), match.column.type.isDate {
      index = ahead + match.length
      return match.column
    }
    return try dateColumn(for: word)
  }

  func dateColumn(for word: String) throws -> DataColumn {
    let dates = table.columns.filter(\.type.isDate)
    if dates.count == 1 { return dates[0] }
    if dates.isEmpty { throw matcher.unknown(word, also: ", and no column holds dates") }
    throw ToolError(
      "AMBIGUOUS_COLUMN",
      "'\(word)' could be taken from \(listed(dates.map { "'\($0.name)'" }, conjunction: "or")); "
        + "say e.g. '\(word) of \(dates[0].name)'.",
      details: ["column": word, "candidates": dates.map(\.name).joined(separator: ", ")])
  }

  // MARK: - Filters

  mutating func filter(_ start: Int, negated: Bool) throws {
    let word = tokens[start].lower
    let strict = ["where", "whose", "having", "filter", "filtered", "excluding", "except", "exclude"].contains(word)
    if word == "with" {
      var ahead = index
      while ahead < tokens.count, ["the", "a"].contains(tokens[ahead].lower) { ahead += 1 }
      if let (clause, _) = QuestionLexicon.clause(tokens, at: ahead), clause != .filter, clause != .soft { return }
    }
    if let condition = try filters.conditions(&index) { return draft.add(negated ? .not(condition) : condition) }
    if try valueFilter(negated: negated) { return }
    guard strict else { return }
    guard index < tokens.count else { throw ToolError("BAD_FILTER", "Nothing follows '\(word)'.") }
    // A column may be there with a test that cannot be read.
    if let match = try matcher.match(tokens, at: index, role: .any, partial: true) {
      throw unreadable(match.column)
    }
    throw matcher.unknown(unknownPhrase())
  }

  func unreadable(_ column: DataColumn) -> ToolError {
    ToolError(
      "BAD_FILTER", "The condition on '\(column.name)' cannot be read; write it like '\(column.name) is …'.",
      details: ["column": column.name])
  }

  /// "in 2023", "for North", "since May 2022": only if a period or a value of some column follows.
  mutating func softFilter(_ start: Int) throws {
    let word = tokens[start].lower
    skip(["the", "year", "month"])
    let dates = table.columns.filter(\.type.isDate)
    let isTime = ["in", "during", "since", "before", "after", "until", "from", "between", "for", "on", "of"].contains(
      word)
    if isTime, FilterValues.period(tokens, index) != nil, dates.count == 1 || yearColumn() != nil {
      // A table with a year column and no dates: "in 2023" means that column.
      let column = dates.count == 1 ? dates[0] : yearColumn()!
      var at = ["in", "during", "for", "on", "of"].contains(word) ? index : start
      if let condition = try filters.comparison(column, &at) {
        index = at
        return draft.add(condition)
      }
    }
    if try valueFilter(negated: false) { return }
    var at = index
    if let match = try? matcher.match(tokens, at: at, role: .any, partial: false) {
      at += match.length
      if let condition = try filters.comparison(match.column, &at) {
        index = at
        draft.add(condition)
      }
    }
  }

  func yearColumn() -> DataColumn? {
    table.columns.first { $0.type.isNumber && DataWords.words($0.name) == ["year"] }
  }

  /// A bare value that exactly one text column contains.
  mutating func valueFilter(negated: Bool) throws -> Bool {
    guard index < tokens.count, tokens[index].kind != .symbol, tokens[index].kind != .number else { return false }
    var found: [(column: DataColumn, text: String, length: Int)] = []
    for column in table.columns where column.type == .text {
      if let (text, length) = try filters.known(column, index) { found.append((column, text, length)) }
    }
    let longest = found.map(\.length).max() ?? 0
    found.removeAll { $0.length < longest }
    guard let first = found.first else { return false }
    guard found.count == 1 else {
      throw ToolError(
        "AMBIGUOUS_VALUE",
        "'\(first.text)' stands in \(listed(found.map { "'\($0.column.name)'" })); "
          + "say which, like 'where \(first.column.name) is \(first.text)'.",
        details: ["value": first.text, "candidates": found.map(\.column.name).joined(separator: ", ")])
    }
    var condition = RowFilter.text(first.column.index, .equal, first.text)
    index += first.length
    // "in Oslo or Rome", "for North and South"
    while let next = listContinuation(also: ["or"]), let (text, length) = try filters.known(first.column, next) {
      condition = .any([condition, .text(first.column.index, .equal, text)])
      index = next + length
    }
    // "the North region"
    if let match = try matcher.match(tokens, at: index, role: .any, partial: false), match.column == first.column {
      index += match.length
    }
    if condition.isChoice, !negated, tokens.contains(where: { $0.stem == "compare" || $0.lower == "versus" }) {
      draft.compared = first.column.index
    }
    draft.add(negated ? .not(condition) : condition)
    return true
  }
}
