/// Answers that show rows of the table instead of summing them up.
extension QueryEngine {
  func rows(_ query: DataQuery, _ mask: [Bool]?, _ account: RowAccount) throws -> QueryResult {
    var chosen = (0..<table.rowCount).filter { mask?[$0] ?? true }
    if let order = query.order { chosen = try sorted(chosen, by: order) }
    let matching = chosen.count
    if let slice = query.slice {
      chosen = Array(slice.fromEnd ? chosen.suffix(slice.count) : chosen.prefix(slice.count))
    }
    chosen = Array(chosen.prefix(min(query.top?.count ?? QueryLimits.outputRows, QueryLimits.outputRows)))
    let first = query.columns + (query.order.map { [$0.column] } ?? [])
    // What was asked for stands first, then the rest of the row.
    var columns: [Int] = []
    for column in first + Array(table.columns.indices) where !columns.contains(column) { columns.append(column) }
    if query.order == nil, query.columns.isEmpty { columns = Array(table.columns.indices) }
    let rows = try chosen.enumerated().map { position, row in
      if position % 1_024 == 0 { try check() }
      return columns.map { cell(row, $0) }
    }
    var statement = "Rows of \(table.name)"
    if let order = query.order {
      statement += " with the \(order.descending ? "highest" : "lowest") \(table.columns[order.column].name)"
    }
    let part = query.slice.map { $0.fromEnd ? "the last " : "the first " } ?? ""
    statement += ", \(part)\(grouped(rows.count)) of \(grouped(matching)) shown, chosen "
    return QueryResult(
      columns: columns.map {
        .init(title: table.columns[$0].name, role: table.columns[$0].type.isNumber ? .number : .category)
      },
      rows: rows, keyCount: columns.count, title: "Rows of \(table.name)",
      statement: statement + account.text(used: matching, condition: condition(query)) + ".")
  }

  private func cell(_ row: Int, _ column: Int) -> QueryResult.Cell {
    let text = table.isMissing(row, column) ? "" : table.cells.text(row, column)
    guard case .number(let style) = table.columns[column].type, let value = NumberText.parse(text, style: style) else {
      return .init(text: text)
    }
    return .init(text: text, number: value.double)
  }

  /// Rows without a value come last.
  private func sorted(_ rows: [Int], by order: RowOrder) throws -> [Int] {
    let column = table.columns[order.column]
    if column.type.isNumber || column.type.isDate {
      let keys: [Double?] =
        column.type.isNumber
        ? try table.numbers(column, check: check).map { $0?.double }
        : try table.dates(column, check: check).map { $0.map { Double($0.seconds) } }
      return Self.sorted(rows, descending: order.descending) { keys[$0] }
    }
    let keys = try table.texts(column, check: check).map { $0?.lowercased() }
    return Self.sorted(rows, descending: order.descending) { keys[$0] }
  }

  private static func sorted<Key: Comparable>(_ rows: [Int], descending: Bool, _ key: (Int) -> Key?) -> [Int] {
    rows.sorted { a, b in
      guard let x = key(a), let y = key(b) else {
        let (hasX, hasY) = (key(a) != nil, key(b) != nil)
        return hasX == hasY ? a < b : hasX
      }
      return x == y ? a < b : descending ? x > y : x < y
    }
  }

  /// Pairs of two number columns, with Pearson's correlation.
  func scatter(_ query: DataQuery, _ mask: [Bool]?, _ account: inout RowAccount) throws -> QueryResult {
    let x = table.columns[query.columns[0]], y = table.columns[query.columns[1]]
    let xs = try table.numbers(x, check: check), ys = try table.numbers(y, check: check)
    let label = query.columns.count > 2 ? table.columns[query.columns[2]] : nil
    var rows: [[QueryResult.Cell]] = []
    var correlation = Correlation()
    var skipped = 0
    for row in 0..<table.rowCount where mask?[row] ?? true {
      if row % 4_096 == 0 { try check() }
      guard let a = xs[row], let b = ys[row] else {
        skipped += 1
        continue
      }
      correlation.add(a.double, b.double)
      if rows.count < QueryLimits.outputRows {
        rows.append((label.map { [cell(row, $0.index)] } ?? []) + [.init(a), .init(b)])
      }
    }
    guard correlation.isFinite else {
      throw ToolError(
        "RESULT_TOO_LARGE",
        "The correlation of '\(x.name)' and '\(y.name)' cannot be computed: their numbers are too large.")
    }
    account.skip("without \(x.name) or \(y.name)", rows: skipped)
    let keys: [QueryResult.Column] = label.map { [.init(title: $0.name, role: .category)] } ?? []
    var result = QueryResult(
      columns: keys + [.init(title: x.name, role: .number), .init(title: y.name, role: .number)], rows: rows,
      keyCount: keys.count, title: "\(y.name) against \(x.name)".capitalizedFirst, statement: "")
    let coefficient =
      correlation.value.map { "Pearson's correlation \(Numeric.text(($0 * 10_000).rounded() / 10_000))" }
      ?? "no correlation (one of the two does not vary)"
    result.statement =
      "\(x.name) against \(y.name), \(coefficient), computed ".capitalizedFirst
      + account.text(used: correlation.count, condition: condition(query)) + "."
    if correlation.count > rows.count {
      result.notes.append("Only the first \(grouped(rows.count)) points are listed and drawn.")
    }
    return result
  }
}

/// Pearson's r in one pass.
struct Correlation: Sendable {
  private(set) var count = 0
  private var meanX = 0.0, meanY = 0.0, squaresX = 0.0, squaresY = 0.0, products = 0.0

  mutating func add(_ x: Double, _ y: Double) {
    count += 1
    let dx = x - meanX, dy = y - meanY
    meanX += dx / Double(count)
    meanY += dy / Double(count)
    squaresX += dx * (x - meanX)
    squaresY += dy * (y - meanY)
    products += dx * (y - meanY)
  }

  var isFinite: Bool { squaresX.isFinite && squaresY.isFinite && products.isFinite }

  /// Nil if fewer than two pairs or one side is constant.
  var value: Double? {
    guard count > 1, squaresX > 0, squaresY > 0 else { return nil }
    return products / (squaresX.squareRoot() * squaresY.squareRoot())
  }
}
