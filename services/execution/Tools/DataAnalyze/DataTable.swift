/// What a column holds.
enum ColumnType: Sendable, Hashable {
  case number(NumberStyle)
  case date(DateOrder)
  case bool
  case text

  var name: String {
    switch self {
    case .number: "number"
    case .date: "date"
    case .bool: "yes/no"
    case .text: "text"
    }
  }

  var isNumber: Bool { if case .number = self { true } else { false } }
  var isDate: Bool { if case .date = self { true } else { false } }
}

struct DataColumn: Sendable, Hashable {
  let index: Int
  let name: String
  let type: ColumnType
  /// Empty cells, NA, null and the like.
  let missing: Int
  /// Cells that are not missing and not of the column's type: at most one in twenty.
  let unreadable: Int
}

/// A table in memory: typed columns over a `CellStore`.
struct DataTable: Sendable {
  let name: String
  let columns: [DataColumn]
  let cells: CellStore

  var rowCount: Int { cells.rowCount }

  func isMissing(_ row: Int, _ column: Int) -> Bool { MissingValue.matches(cells.bytes, cells.trimmed(row, column)) }

  /// One entry a row: nil where missing or unreadable. Only for number columns.
  func numbers(_ column: DataColumn, check: () throws -> Void) throws -> [Numeric?] {
    guard case .number(let style) = column.type else { return [] }
    return try everyRow(check) { row in
      let range = cells.trimmed(row, column.index)
      return MissingValue.matches(cells.bytes, range) ? nil : NumberText.parse(cells.bytes, range, style: style)
    }
  }

  /// Only for date columns.
  func dates(_ column: DataColumn, check: () throws -> Void) throws -> [DateValue?] {
    guard case .date(let order) = column.type else { return [] }
    return try everyRow(check) { row in DateText.parse(cells.bytes, cells.trimmed(row, column.index), order: order) }
  }

  /// Trimmed text; nil where missing.
  func texts(_ column: DataColumn, check: () throws -> Void) throws -> [String?] {
    try everyRow(check) { row in
      let range = cells.trimmed(row, column.index)
      return MissingValue.matches(cells.bytes, range) ? nil : String(decoding: cells.bytes[range], as: UTF8.self)
    }
  }

  /// The different values of a text or yes/no column by their lowercase form; nil if there are more than `limit`.
  func distinct(_ column: DataColumn, limit: Int = 10_000, check: () throws -> Void) throws -> [String: String]? {
    var seen: [ArraySlice<UInt8>: Void] = [:]
    var out: [String: String] = [:]
    for row in 0..<rowCount {
      if row % 4_096 == 0 { try check() }
      let range = cells.trimmed(row, column.index)
      if MissingValue.matches(cells.bytes, range) || seen[cells.bytes[range]] != nil { continue }
      seen[cells.bytes[range]] = ()
      let text = String(decoding: cells.bytes[range], as: UTF8.self)
      out[text.lowercased()] = out[text.lowercased()] ?? text
      if seen.count > limit { return nil }
    }
    return out
  }

  private func everyRow<T>(_ check: () throws -> Void, _ value: (Int) -> T) throws -> [T] {
    var out: [T] = []
    out.reserveCapacity(rowCount)
    for row in 0..<rowCount {
      if row % 4_096 == 0 { try check() }
      out.append(value(row))
    }
    return out
  }
}

/// Ways in which files say "nothing here".
enum MissingValue {
  private static let words: Set<String> = ["na", "n/a", "#n/a", "null", "nan", "nil", "-", "--", "."]

  static func matches(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    if range.isEmpty { return true }
    guard range.count <= 4 else { return false }
    // All of the words start with one of these; most cells are told apart by their first byte.
    guard "nN#-.".utf8.contains(bytes[range.lowerBound]) else { return false }
    return words.contains(String(decoding: bytes[range], as: UTF8.self).lowercased())
  }
}

enum BoolText {
  static func parse(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true", "yes", "y", "t": true
    case "false", "no", "n", "f": false
    default: nil
    }
  }
}
