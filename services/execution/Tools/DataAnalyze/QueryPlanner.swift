/// Fills the gaps of a draft: explicit parameters first, then stated assumptions, else an error that says what is
/// missing.
struct QueryPlanner {
  let table: DataTable
  let matcher: ColumnMatcher
  let check: () throws -> Void
  private var draft: QuestionDraft
  private var query = DataQuery()

  /// Parameters: `measure`, `aggregate`, `group_by`, `filter`, `top`, `chart`; they replace what the objective says.
  static func plan(_ call: ToolCall, table: DataTable, check: @escaping () throws -> Void) throws -> DataQuery {
    let explicit = call.parameter("measure") != nil || call.parameter("group_by") != nil
    let narrowed = call.parameter("filter") != nil || call.parameter("top") != nil
    var draft: QuestionDraft
    do {
      draft = try QuestionParser.parse(
        call.objective, table: table, inputNames: call.inputs.map(\.name), check: check)
    } catch let error as ToolError where explicit && error.code != "BAD_FILTER" {
      // The parameters say it all; what the sentence said wrongly does not matter.
      draft = QuestionDraft()
    }
    var planner = QueryPlanner(table: table, draft: draft, check: check)
    if explicit { planner.draft.slice = nil }
    try planner.override(call)
    let query = try planner.finish()
    if !explicit { try planner.refuseOtherQuestion(query, narrowed: narrowed) }
    return query
  }

  private init(table: DataTable, draft: QuestionDraft, check: @escaping () throws -> Void) {
    self.table = table
    self.draft = draft
    self.check = check
    matcher = ColumnMatcher(columns: table.columns)
  }

  // MARK: - Parameters

  private mutating func override(_ call: ToolCall) throws {
    let aggregate = try call.parameter("aggregate").map { name -> Aggregate in
      guard let found = Aggregate.named(name) else {
        throw ToolError(
          "BAD_PARAMETER",
          "There is no aggregate '\(name)'; it can be "
            + "\(listed(Aggregate.allCases.map(\.rawValue), conjunction: "or")).",
          details: ["parameter": "aggregate", "value": name])
      }
      return found
    }
    if let names = call.parameter("measure") {
      let columns = try names.split(separator: ",").map {
        try matcher.column(named: String($0).trimmedWhitespace, role: .measure)
      }
      draft.measures = columns.map { column in
        Measure(aggregate: aggregate ?? draft.measures.first?.aggregate ?? Self.usual(column), column: column.index)
      }
      draft.bare = []
      draft.ranking = nil
      draft.wantsScatter = false
    } else if let aggregate {
      if draft.measures.isEmpty {
        let bare = draft.bare.filter { table.columns[$0].type.isNumber }
        draft.measures = bare.map { Measure(aggregate: aggregate, column: $0) }
        draft.bare.removeAll(where: bare.contains)
        if bare.isEmpty { draft.measures = aggregate == .count ? [Measure(aggregate: .count, column: nil)] : [] }
        if draft.measures.isEmpty { draft.aggregateWithoutColumn = aggregate }
      } else {
        draft.measures = draft.measures.map { Measure(aggregate: aggregate, column: $0.column) }
      }
    }
    if let names = call.parameter("group_by") {
      draft.groups = try names.split(separator: ",").map { try groupKey(String($0).trimmedWhitespace) }
    }
    if let text = call.parameter("filter") {
      draft.filter = try QuestionParser.filter(text, table: table, check: check)
    }
    if let text = call.parameter("top") { draft.top = try Self.top(text) }
    if let text = call.parameter("chart") {
      guard let choice = ChartChoice(rawValue: text.lowercased()) else {
        throw ToolError("BAD_PARAMETER", "There is no chart '\(text)'; it can be bar, line, point, automatic or none.")
      }
      draft.chart = choice
    }
  }

  /// `region`, or `date:month`.
  private func groupKey(_ text: String) throws -> GroupKey {
    let parts = text.split(separator: ":", maxSplits: 1).map { String($0).trimmedWhitespace }
    if parts.count == 2, matcher.columns.allSatisfy({ $0.name != text }) {
      let column = try matcher.column(named: parts[0], role: .group)
      guard let part = DatePart.allCases.first(where: { $0.rawValue.lowercased() == parts[1].lowercased() }) else {
        throw ToolError(
          "BAD_PARAMETER",
          "'\(parts[1])' is no part of a date; it can be "
            + "\(listed(DatePart.allCases.map(\.rawValue), conjunction: "or"))."
        )
      }
      guard column.type.isDate else {
        throw ToolError(
          "BAD_PARAMETER", "'\(column.name)' holds \(column.type.name) values, not dates.",
          details: ["column": column.name])
      }
      return .datePart(column.index, part)
    }
    return .column(try matcher.column(named: text, role: .group).index)
  }

  /// `5`, `bottom 5`, `-5`.
  private static func top(_ text: String) throws -> Top {
    let words = text.lowercased().split(separator: " ")
    guard let number = words.last.flatMap({ Int($0) }), words.count <= 2 else {
      throw ToolError("BAD_TOP", "'\(text)' is no number of rows; write it like 5 or 'bottom 5'.")
    }
    return Top(count: try QuestionParser.limited(abs(number)), largest: number > 0 && words.first != "bottom")
  }

  // MARK: - Gaps

  private mutating func finish() throws -> DataQuery {
    query.filter = draft.filter
    if let column = draft.compared, draft.groups.count < 2 { draft.add(.column(column)) }
    query.groups = draft.groups
    query.top = draft.top
    query.chart = draft.chart
    query.assumptions = draft.assumptions
    query.ignored = draft.ignored
    if draft.overTime { spreadOverTime() }
    if try planScatter() || planRows() || planDescription() { return query }
    try planMeasures()
    try checkMeasures()
    return query
  }

  private func numericBare() -> [Int] { draft.bare.filter { table.columns[$0].type.isNumber } }

  private mutating func planScatter() throws -> Bool {
    let numeric = draft.measures.compactMap(\.column) + numericBare()
    guard draft.wantsScatter || draft.chart == .point, numeric.count == 2, draft.groups.isEmpty, draft.top == nil else {
      return false
    }
    query.kind = .scatter
    query.columns = numeric
    if draft.bare.count == 3, let label = draft.bare.first(where: { !table.columns[$0].type.isNumber }) {
      query.columns.append(label)
    }
    return true
  }

  private mutating func planRows() throws -> Bool {
    guard draft.measures.isEmpty, draft.aggregateWithoutColumn == nil || draft.slice == nil,
      draft.groups.isEmpty || draft.wantsRows || draft.slice != nil
    else { return false }
    let ranked = draft.top != nil
    guard
      draft.wantsRows || ranked || draft.slice != nil || draft.sort != nil
        || (draft.filter != nil && draft.bare.isEmpty && !draft.wantsChart)
    else {
      return false
    }
    if draft.wantsDescription, !ranked { return false }
    query.kind = .rows
    query.columns = draft.bare
    query.slice = draft.slice
    if query.slice == nil, !ranked, let count = draft.countedRows {
      query.slice = RowSlice(count: try QuestionParser.limited(count), fromEnd: false)
      if let at = query.ignored.firstIndex(of: draft.looseNumber?.text ?? "") { query.ignored.remove(at: at) }
    }
    if draft.slice != nil, draft.sort == nil, case .column(let column)? = draft.groups.first {
      draft.sort = (column, false)  // "the first 5 rows by date"
    }
    if let top = draft.top {
      let column = try draft.ranking?.column ?? numericBare().last ?? onlyNumber(for: "to rank by").index
      query.order = RowOrder(column: column, descending: top.largest)
    } else if let sort = draft.sort {
      query.order = RowOrder(column: sort.column, descending: sort.descending)
    }
    return true
  }

  /// Rows, or a computation without the word that asked for another one, are no answer to what was not understood.
  private func refuseOtherQuestion(_ query: DataQuery, narrowed: Bool) throws {
    if query.slice == nil, let slice = draft.slice {
      throw ToolError(
        "NOT_UNDERSTOOD",
        "The \(slice.fromEnd ? "last" : "first") \(slice.count) rows can be shown, but not computed on alone.")
    }
    let unsupported = query.ignored.contains {
      QuestionLexicon.unsupported.contains(DataWords.stem($0.lowercased()))
    }
    let isDump =
      query.kind == .rows && !narrowed && query.filter == nil && query.order == nil && !query.ignored.isEmpty
    guard unsupported || isDump else { return }
    throw ToolError(
      "NOT_UNDERSTOOD",
      "Not understood: \(listed(query.ignored.map { "'\($0)'" })). Possible are counts, totals, averages, medians, "
        + "minima, maxima and standard deviations, by column or period, with conditions like "
        + "'count where \(table.columns[0].name) is …', and 'first 5 rows'.",
      details: [
        "words": query.ignored.joined(separator: ", "), "columns": table.columns.map(\.name).joined(separator: ", "),
      ])
  }

  private mutating func planDescription() throws -> Bool {
    guard draft.measures.isEmpty, draft.groups.isEmpty, draft.aggregateWithoutColumn == nil else { return false }
    if draft.wantsDescription
      || (draft.bare.isEmpty && !draft.wantsChart && draft.filter == nil && draft.ignored.isEmpty)
    {
      query.kind = .describe
      query.columns = draft.bare
      if !draft.wantsDescription {
        query.assumptions.append("The objective asks nothing in particular of the table: every column is described.")
      }
      return true
    }
    return false
  }

  private mutating func planMeasures() throws {
    var measures = draft.measures
    if let ranking = draft.ranking,
      measures.isEmpty || ranking.aggregate != nil || !measures.contains(where: { $0.column == ranking.column })
    {
      let aggregate = ranking.aggregate ?? ranking.column.map { assume(table.columns[$0]) } ?? .count
      measures.insert(Measure(aggregate: aggregate, column: ranking.column), at: 0)
    }
    if measures.isEmpty {
      for column in numericBare() { measures.append(Measure(aggregate: assume(table.columns[column]), column: column)) }
      draft.bare.removeAll { table.columns[$0].type.isNumber }
    }
    if let aggregate = draft.aggregateWithoutColumn, measures.isEmpty {
      let column = try onlyNumber(for: "for the \(aggregate.title)")
      measures = [Measure(aggregate: aggregate, column: column.index)]
    }
    if query.groups.isEmpty, draft.measures.isEmpty || draft.wantsChart {
      // "Chart revenue region", "chart regions": mentioned columns that cannot be measured are groups.
      for column in draft.bare where !table.columns[column].type.isNumber { query.groups.append(.column(column)) }
    }
    if measures.isEmpty {
      guard !query.groups.isEmpty, draft.ignored.isEmpty || draft.ambiguity == nil else { throw notUnderstood() }
      if !query.groups.isEmpty, !draft.ignored.isEmpty { throw notUnderstood() }
      query.assumptions.append("No measure was named: rows were counted.")
      measures = [Measure(aggregate: .count, column: nil)]
    }
    noteCounts(measures)
    if let sort = draft.sort { query.order = RowOrder(column: sort.column, descending: sort.descending) }
    query.measures = measures.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// "How many stations per region" can mean rows or different stations: say which was taken.
  private mutating func noteCounts(_ measures: [Measure]) {
    for measure in measures where measure.aggregate == .count {
      guard let column = measure.column, !table.columns[column].type.isNumber else { continue }
      let name = table.columns[column].name
      query.assumptions.append(
        "Rows with '\(name)' were counted; ask for 'how many different \(name)' to count each once.")
    }
  }

  private func checkMeasures() throws {
    for measure in query.measures {
      guard let index = measure.column else { continue }
      let column = table.columns[index]
      let extreme = measure.aggregate == .min || measure.aggregate == .max
      guard measure.aggregate.needsNumbers || extreme, !column.type.isNumber, !(extreme && column.type.isDate) else {
        continue
      }
      let word = measure.aggregate == .stddev ? "standard deviation" : measure.aggregate.title
      throw ToolError(
        "NOT_NUMERIC",
        "'\(column.name)' holds \(column.type.name) values, so it has no \(word); number columns: \(numberColumns()).",
        details: ["column": column.name, "type": column.type.name])
    }
  }

  private mutating func assume(_ column: DataColumn) -> Aggregate {
    let aggregate = Self.usual(column)
    query.assumptions.append("No way to sum up '\(column.name)' was named: its \(aggregate.title) was taken.")
    return aggregate
  }

  /// Levels and rates are averaged, amounts added up.
  static func usual(_ column: DataColumn) -> Aggregate {
    let levels: Set<String> = [
      "temperature", "temp", "rate", "ratio", "price", "percent", "percentage", "pct", "share", "age", "score",
      "rating",
      "speed", "humidity", "pressure", "level", "index", "latitude", "longitude", "lat", "lon", "height", "width",
      "depth",
      "density", "average", "avg", "mean", "median", "min", "max", "grade", "elevation", "altitude", "salary", "wage",
      "margin",
      "gpa", "bmi", "ph", "concentration", "intensity", "degree", "year", "duration", "latency",
    ]
    guard column.type.isNumber else { return .count }
    return DataWords.words(column.name).contains(where: levels.contains) ? .mean : .sum
  }

  private func onlyNumber(for purpose: String) throws -> DataColumn {
    let numbers = table.columns.filter(\.type.isNumber)
    if numbers.count == 1 { return numbers[0] }
    if let ambiguity = draft.ambiguity { throw ambiguity }
    if !draft.ignored.isEmpty, let unknown = unknownWord() { throw matcher.unknown(unknown) }
    throw ToolError(
      "AMBIGUOUS_QUESTION", "The objective does not name the column \(purpose); number columns: \(numberColumns()).",
      details: ["candidates": numbers.map(\.name).joined(separator: ", ")])
  }

  private func numberColumns() -> String {
    let names = table.columns.filter(\.type.isNumber).map(\.name)
    return names.isEmpty ? "none" : names.prefix(30).joined(separator: ", ")
  }

  /// The ignored word that was most likely meant as a column: the one closest to a column's name, else the last.
  private func unknownWord() -> String? {
    draft.ignored.first { matcher.suggestion(for: $0) != nil } ?? draft.ignored.last
  }

  private func notUnderstood() -> ToolError {
    if let ambiguity = draft.ambiguity { return ambiguity }
    if let word = unknownWord() { return matcher.unknown(word) }
    let example = numberColumns().split(separator: ",").first ?? "price"
    return ToolError(
      "NOT_UNDERSTOOD",
      "The objective does not say what to compute; ask e.g. 'average \(example) by …'. Columns: \(matcher.list()).",
      details: ["columns": table.columns.map(\.name).joined(separator: ", ")])
  }

  /// "Over time" is by day up to three months, by month up to ten years, else by year.
  private mutating func spreadOverTime() {
    for (position, key) in query.groups.enumerated() {
      guard case .datePart(let column, .month) = key, let dates = try? table.dates(table.columns[column], check: check)
      else { continue }
      let seconds = dates.compactMap { $0?.seconds }
      let days = ((seconds.max() ?? 0) - (seconds.min() ?? 0)) / 86_400
      query.groups[position] = .datePart(column, days <= 92 ? .day : days <= 3_660 ? .month : .year)
    }
  }
}
