/// Makes a Vega-Lite v5 specification, with its data in it, from a result.
enum ChartSpec {
  static let mediaType = "application/vnd.vegalite.v5+json"
  /// Bars beyond this many cannot be read.
  private static let maximumBars = 100

  /// Nil if the result has nothing to draw.
  static func make(_ result: QueryResult, _ query: DataQuery) -> JSONValue? {
    guard query.chart != .none, !result.rows.isEmpty else { return nil }
    switch query.kind {
    case .describe, .rows: return nil
    case .scatter: return scatter(result)
    case .aggregate: return aggregate(result, query)
    }
  }

  /// One or two keys: the first time key, else the first, lies along x; the other one gives the color.
  private static func aggregate(_ result: QueryResult, _ query: DataQuery) -> JSONValue? {
    let measures = Array(result.columns.indices.dropFirst(result.keyCount)).filter { measure in
      result.rows.contains { $0[measure].number != nil }
    }
    guard let measure = measures.first, result.keyCount > 0 else { return nil }
    if query.chart == .point, measures.count == 2 { return scatter(result) }
    let x = result.columns[..<result.keyCount].firstIndex { isTime($0.role) } ?? 0
    let mark = mark(result, x, query.chart)
    let rows = mark == "bar" && !isTime(result.columns[x].role) ? Array(result.rows.prefix(maximumBars)) : result.rows
    let isFolded = measures.count > 1 && result.keyCount == 1 && sameScale(result, measures)
    let along = axis(result.columns[x], ordinal: mark == "bar" && isYears(result, x))
    var encoding: [(String, JSONValue)] = [("x", along)]
    if isFolded {
      encoding.append(("y", quantity("value", title: "value")))
      encoding += split(by: "measure", title: "measure", mark)
    } else {
      let title = result.columns[measure].title
      encoding.append(("y", quantity(field(title), title: title)))
      if let other = (0..<result.keyCount).first(where: { $0 != x }) {
        encoding += split(by: field(result.columns[other].title), title: result.columns[other].title, mark)
      }
      encoding.append(("tooltip", tooltip(result)))
    }
    let values = isFolded ? folded(result, rows, x, measures) : rows.map { object($0, result) }
    return spec(title(result, shown: rows.count), mark: mark, encoding: encoding, values: values)
  }

  private static func mark(_ result: QueryResult, _ x: Int, _ choice: ChartChoice) -> String {
    switch choice {
    case .bar, .line, .point: return choice.rawValue
    case .automatic, .none:
      return (isLine(result.columns[x].role) || isYears(result, x)) && result.rows.count > 1 ? "line" : "bar"
    }
  }

  /// One color a value; bars of one place stand side by side.
  private static func split(by field: String, title: String, _ mark: String) -> [(String, JSONValue)] {
    let color = ("color", nominal(field, title: title))
    return mark == "bar" ? [color, ("xOffset", .object([("field", .string(field))]))] : [color]
  }

  private static func object(_ row: [QueryResult.Cell], _ result: QueryResult) -> JSONValue {
    .object(result.columns.indices.map { (field(result.columns[$0].title), value(row[$0], result.columns[$0].role)) })
  }

  private static func title(_ result: QueryResult, shown: Int) -> String {
    shown < result.rows.count ? result.title + " (first \(shown) of \(grouped(result.rows.count)))" : result.title
  }

  /// Several measures share an axis only if none dwarfs another.
  private static func sameScale(_ result: QueryResult, _ measures: [Int]) -> Bool {
    let peaks = measures.map { measure in result.rows.compactMap { $0[measure].number.map(abs) }.max() ?? 0 }
    guard let low = peaks.min(), let high = peaks.max() else { return false }
    return low > 0 && high / low <= 50
  }

  private static func folded(_ result: QueryResult, _ rows: [[QueryResult.Cell]], _ x: Int, _ measures: [Int])
    -> [JSONValue]
  {
    rows.flatMap { row in
      measures.map { measure in
        .object([
          (field(result.columns[x].title), value(row[x], result.columns[x].role)),
          ("measure", .string(result.columns[measure].title)), ("value", value(row[measure], .number)),
        ])
      }
    }
  }

  private static func scatter(_ result: QueryResult) -> JSONValue {
    let x = result.keyCount, y = result.keyCount + 1
    var encoding: [(String, JSONValue)] = [
      ("x", quantity(field(result.columns[x].title), title: result.columns[x].title, zero: false)),
      ("y", quantity(field(result.columns[y].title), title: result.columns[y].title, zero: false)),
    ]
    if result.keyCount > 0 {
      encoding.append(("color", nominal(field(result.columns[0].title), title: result.columns[0].title)))
    }
    encoding.append(("tooltip", tooltip(result)))
    let values = result.rows.map { object($0, result) }
    return spec(result.title, mark: "point", encoding: encoding, values: values)
  }

  // MARK: - Parts

  private static func spec(_ title: String, mark: String, encoding: [(String, JSONValue)], values: [JSONValue])
    -> JSONValue
  {
    let markValue: JSONValue =
      mark == "line"
      ? .object([("type", .string("line")), ("point", .bool(true))]) : .object([("type", .string(mark))])
    return .object([
      ("$schema", .string("https://vega.github.io/schema/vega-lite/v5.json")), ("title", .string(title)),
      ("width", .int(640)), ("height", .int(360)), ("data", .object([("values", .array(values))])),
      ("mark", markValue), ("encoding", .object(encoding)),
    ])
  }

  private static func axis(_ column: QueryResult.Column, ordinal: Bool) -> JSONValue {
    var members: [(String, JSONValue)] = [("field", .string(field(column.title)))]
    switch column.role {
    case .time(let part) where timeUnit(part) != nil:
      // Dates are written without a time zone and read as UTC; the utc units keep every viewer on the same day.
      members += [("type", .string("temporal")), ("timeUnit", .string(timeUnit(part) ?? ""))]
    default:
      // Null keeps the order of the rows: by rank, by the calendar or by name.
      members += [("type", .string(ordinal || isTime(column.role) ? "ordinal" : "nominal")), ("sort", .null)]
    }
    return .object(members + [("title", .string(column.title))])
  }

  private static func quantity(_ field: String, title: String, zero: Bool = true) -> JSONValue {
    .object(
      [("field", .string(field)), ("type", .string("quantitative")), ("title", .string(title))]
        + (zero ? [] : [("scale", .object([("zero", .bool(false))]))]))
  }

  private static func nominal(_ field: String, title: String) -> JSONValue {
    .object([("field", .string(field)), ("type", .string("nominal")), ("title", .string(title))])
  }

  private static func tooltip(_ result: QueryResult) -> JSONValue {
    .array(
      result.columns.map { column in
        let type = column.role == .number ? "quantitative" : "nominal"
        return .object([
          ("field", .string(field(column.title))), ("type", .string(type)), ("title", .string(column.title)),
        ])
      })
  }

  private static func isTime(_ role: QueryResult.Role) -> Bool { if case .time = role { true } else { false } }

  private static func isLine(_ role: QueryResult.Role) -> Bool {
    guard case .time(let part) = role else { return false }
    return timeUnit(part) != nil || part == .hour
  }

  /// A number column of years makes a line too.
  private static func isYears(_ result: QueryResult, _ column: Int) -> Bool {
    result.columns[column].role == .category
      && result.rows.allSatisfy { row in
        row[column].number.map { $0 == $0.rounded() && (1000...2999).contains($0) } ?? false
      }
  }

  private static func timeUnit(_ part: DatePart) -> String? {
    switch part {
    case .year: "utcyear"
    case .quarter: "utcyearquarter"
    case .month: "utcyearmonth"
    case .week, .day: "utcyearmonthdate"
    case .hour, .monthOfYear, .weekday: nil
    }
  }

  /// A full date for time axes, so that every reader parses it alike.
  private static func value(_ cell: QueryResult.Cell, _ role: QueryResult.Role) -> JSONValue {
    switch role {
    case .number: return cell.number.map { .number(Numeric.text($0)) } ?? .null
    case .category: return .string(cell.text)
    case .time(.year): return .string(cell.text + "-01-01")
    case .time(.month): return .string(cell.text + "-01")
    case .time(.quarter):
      guard let quarter = cell.text.last?.wholeNumberValue else { return .string(cell.text) }
      return .string("\(cell.text.prefix(4))-\(["01", "04", "07", "10"][quarter - 1])-01")
    case .time: return .string(cell.text)
    }
  }

  /// Vega-Lite reads dots and brackets in field names as paths.
  private static func field(_ title: String) -> String {
    String(title.map { ".[]\\'\"".contains($0) ? "_" : $0 })
  }
}
