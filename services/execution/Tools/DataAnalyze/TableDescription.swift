/// Statistics of every column.
struct TableDescription {
  let table: DataTable
  let check: () throws -> Void

  func run(_ query: DataQuery, _ mask: [Bool]?, _ account: RowAccount, _ condition: String?) throws -> QueryResult {
    let chosen = query.columns.isEmpty ? table.columns : query.columns.map { table.columns[$0] }
    let rows = try chosen.map { try describe($0, mask) }
    let titles = ["column", "type", "values", "missing", "different", "min", "mean", "median", "max", "most common"]
    let numeric: Set<String> = ["values", "missing", "different", "min", "mean", "median", "max"]
    return QueryResult(
      columns: titles.map { .init(title: $0, role: numeric.contains($0) ? .number : .category) }, rows: rows,
      keyCount: 1,
      title: "Summary of \(table.name)",
      statement: "Summary of \(counted(chosen.count, "column")) of \(table.name), computed "
        + account.text(used: account.filtered, condition: condition) + ".")
  }

  private func describe(_ column: DataColumn, _ mask: [Bool]?) throws -> [QueryResult.Cell] {
    var counts: [String: Int] = [:]
    var values = 0, missing = 0
    var mean = Accumulator(), median = Accumulator(), low = Accumulator(), high = Accumulator()
    let numbers = try table.numbers(column, check: check)
    let dates = try table.dates(column, check: check)
    for row in 0..<table.rowCount where mask?[row] ?? true {
      if row % 4_096 == 0 { try check() }
      if table.isMissing(row, column.index) {
        missing += 1
        continue
      }
      values += 1
      if counts.count < 100_000 { counts[table.cells.text(row, column.index), default: 0] += 1 }
      let number =
        column.type.isNumber
        ? numbers[row]
        : column.type.isDate ? dates[row].map { Numeric(coefficient: $0.seconds, scale: 0) } : nil
      guard let number else { continue }
      low.add(number, .min)
      high.add(number, .max)
      mean.add(number, .mean)
      median.add(number, .median)
    }
    let common = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }
    let different = QueryResult.Cell(
      text: counts.count >= 100_000 ? "100000+" : String(counts.count), number: Double(counts.count))
    let start: [QueryResult.Cell] = [
      .init(text: column.name), .init(text: column.type.name), .init(count: values), .init(count: missing), different,
    ]
    let end = QueryResult.Cell(text: common.map { $0.value > 1 ? "\($0.key) (\($0.value)×)" : "" } ?? "")
    guard column.type.isNumber else {
      let shown = [low.result(.min), high.result(.max)].map { cell in
        column.type.isDate
          ? cell.number.map { QueryResult.Cell(text: DatePartKey.isoText(Int64($0))) } ?? .empty : .empty
      }
      return start + [shown[0], .empty, .empty, shown[1], end]
    }
    try QueryEngine.refuseOverflow([mean.result(.mean)], of: "average \(column.name)")
    return start + [low.result(.min), mean.result(.mean), median.result(.median), high.result(.max), end]
  }
}
