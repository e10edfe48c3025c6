/// Answers a query. Pure: no input, no output, only `check`, which throws when the call was cancelled.
struct QueryEngine {
  let table: DataTable
  let check: () throws -> Void
  var filters: FilterEvaluator { FilterEvaluator(table: table, check: check) }

  /// Throws `NO_MATCHING_ROWS`, `TOO_MANY_GROUPS`, `RESULT_TOO_LARGE`.
  func run(_ query: DataQuery) throws -> QueryResult {
    let mask = try query.filter.map(filters.mask)
    var account = RowAccount()
    account.total = table.rowCount
    account.filtered = mask?.count { $0 } ?? table.rowCount
    if account.filtered == 0, let filter = query.filter {
      throw ToolError(
        "NO_MATCHING_ROWS", "No row of \(table.name) has \(filters.text(filter))\(try knownValues(filter)).",
        details: ["filter": filters.text(filter)])
    }
    var result: QueryResult
    switch query.kind {
    case .aggregate: result = try aggregate(query, mask, &account)
    case .describe:
      result = try TableDescription(table: table, check: check).run(query, mask, account, condition(query))
    case .rows: result = try rows(query, mask, account)
    case .scatter: result = try scatter(query, mask, &account)
    }
    result.notes += query.assumptions
    if !query.ignored.isEmpty {
      result.notes.append("Not understood and ignored: " + listed(query.ignored.map { "'\($0)'" }) + ".")
    }
    return result
  }

  func condition(_ query: DataQuery) -> String? { query.filter.map(filters.text) }

  /// For a filter on one text column: what it holds instead.
  private func knownValues(_ filter: RowFilter) throws -> String {
    guard case .text(let column, .equal, let value) = filter,
      let values = try table.distinct(table.columns[column], check: check)?.values.sorted()
    else { return "" }
    let near = closest(to: value, in: values).map { "; did you mean '\($0)'?" } ?? ""
    let shown = values.prefix(12).joined(separator: ", ") + (values.count > 12 ? ", …" : "")
    return
      " ('\(table.columns[column].name)' holds: \(shown)\(near.isEmpty ? ")" : ")" + near.replacing("?", with: ""))"
  }

  // MARK: - Measures by group

  private func aggregate(_ query: DataQuery, _ mask: [Bool]?, _ account: inout RowAccount) throws -> QueryResult {
    let index = try GroupIndex(query.groups, table: table, mask: mask, check: check)
    for (key, rows) in zip(query.groups, index.missing) {
      account.skip("without \(table.columns[key.column].name)", rows: rows)
    }
    var cells: [[QueryResult.Cell]] = []
    var used = 0
    for measure in query.measures {
      let (column, rows) = try accumulate(measure, index, &account)
      cells.append(column)
      used = max(used, rows)
    }
    let order = order(query, index, cells)
    let rows = order.map { group in
      index.labels[group].map { label in
        if case .number(let value) = label.sort {
          QueryResult.Cell(text: label.text, number: value)
        } else {
          .init(text: label.text)
        }
      } + cells.map { $0[group] }
    }
    let kept = Array(rows.prefix(min(query.top?.count ?? QueryLimits.outputRows, QueryLimits.outputRows)))
    var result = QueryResult(
      columns: keyColumns(query) + query.measures.map { .init(title: title($0), role: .number) }, rows: kept,
      keyCount: query.groups.count, title: title(query), statement: "")
    result.statement =
      statement(query, groups: rows.count, shown: kept.count) + account.text(used: used, condition: condition(query))
      + "."
    if query.top == nil, kept.count < rows.count {
      result.notes.append("Only the first \(grouped(kept.count)) of \(grouped(rows.count)) groups are listed.")
    }
    return result
  }

  /// The measure for every group, and how many rows took part.
  private func accumulate(
    _ measure: Measure, _ index: GroupIndex, _ account: inout RowAccount
  ) throws -> ([QueryResult.Cell], Int) {
    var groups = [Accumulator](repeating: Accumulator(), count: index.labels.count)
    guard let columnIndex = measure.column else {
      for group in index.groupOfRow where group >= 0 { groups[Int(group)].add(row: .count) }
      return (groups.map { $0.result(.count) }, groups.reduce(0) { $0 + $1.count })
    }
    let column = table.columns[columnIndex]
    var missing = 0, unreadable = 0
    let numbers = try table.numbers(column, check: check)
    let dates = try table.dates(column, check: check)
    for row in index.groupOfRow.indices where index.groupOfRow[row] >= 0 {
      if row % 4_096 == 0 { try check() }
      let group = Int(index.groupOfRow[row])
      if table.isMissing(row, columnIndex) {
        missing += 1
      } else if column.type.isNumber {
        if let value = numbers[row] { groups[group].add(value, measure.aggregate) } else { unreadable += 1 }
      } else if column.type.isDate, measure.aggregate == .min || measure.aggregate == .max {
        if let date = dates[row] {
          groups[group].add(Numeric(coefficient: date.seconds, scale: 0), measure.aggregate)
        } else {
          unreadable += 1
        }
      } else {
        groups[group].add(table.cells.text(row, columnIndex), measure.aggregate)
      }
    }
    account.skip("without \(column.name)", rows: missing)
    account.skip("whose \(column.name) is no \(column.type.name)", rows: unreadable)
    var cells = groups.map { $0.result(measure.aggregate) }
    try Self.refuseOverflow(cells, of: title(measure))
    if column.type.isDate, measure.aggregate == .min || measure.aggregate == .max {
      cells = cells.map { $0.number.map { .init(text: DatePartKey.isoText(Int64($0))) } ?? .empty }
    }
    return (cells, groups.reduce(0) { $0 + $1.count })
  }

  /// A blank or "inf" would pass for a result.
  static func refuseOverflow(_ cells: [QueryResult.Cell], of what: String) throws {
    guard cells.contains(where: { $0.number.map { !$0.isFinite } ?? false }) else { return }
    throw ToolError(
      "RESULT_TOO_LARGE", "The \(what) cannot be computed: its numbers add up to more than 1.7e308.",
      details: ["measure": what])
  }

  /// By rank for top and bottom, by the named column if there is one, else by the groups' names.
  private func order(_ query: DataQuery, _ index: GroupIndex, _ cells: [[QueryResult.Cell]]) -> [Int] {
    let byName = GroupIndex.order(index.labels)
    let measure: Int, descending: Bool
    if let top = query.top {
      (measure, descending) = (0, top.largest)
    } else if let order = query.order {
      guard let position = query.measures.firstIndex(where: { $0.column == order.column }) else {
        return order.descending ? byName.reversed() : byName
      }
      (measure, descending) = (position, order.descending)
    } else {
      return byName
    }
    let values = cells[measure].map { $0.number }
    // Stable: equal values stay in the order of their names; groups without a value come last.
    return byName.enumerated().sorted { a, b in
      guard let x = values[a.element], let y = values[b.element], x != y else {
        if (values[a.element] == nil) != (values[b.element] == nil) { return values[b.element] == nil }
        return a.offset < b.offset
      }
      return descending ? x > y : x < y
    }.map(\.element)
  }

  private func keyColumns(_ query: DataQuery) -> [QueryResult.Column] {
    query.groups.map { key in
      switch key {
      case .datePart(_, let part): .init(title: part.title, role: .time(part))
      case .column(let index):
        .init(title: table.columns[index].name, role: table.columns[index].type.isDate ? .time(.day) : .category)
      }
    }
  }

  func title(_ measure: Measure) -> String {
    measure.column.map { "\(measure.aggregate.title) \(table.columns[$0].name)" } ?? "rows"
  }

  private func title(_ query: DataQuery) -> String {
    let measures = listed(query.measures.map { $0.column == nil ? "number of rows" : title($0) }).capitalizedFirst
    return query.groups.isEmpty ? measures : measures + " by " + listed(keyColumns(query).map(\.title))
  }

  private func statement(_ query: DataQuery, groups: Int, shown: Int) -> String {
    var text = listed(query.measures.map { $0.column == nil ? "number of rows" : title($0) }).capitalizedFirst
    if !query.groups.isEmpty {
      let keys = query.groups.map { key -> String in
        if case .datePart(let column, let part) = key { return "\(part.title) of \(table.columns[column].name)" }
        return table.columns[key.column].name
      }
      text += " by " + listed(keys)
      if let top = query.top {
        text += ", the \(shown) \(top.largest ? "highest" : "lowest") of \(counted(groups, "group"))"
      } else {
        text += ", \(counted(groups, "group"))"
      }
    }
    return text + ", computed "
  }
}
