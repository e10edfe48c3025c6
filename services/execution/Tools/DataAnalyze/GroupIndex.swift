/// Gives every row the number of its group.
struct GroupIndex {
  /// How a group's name sorts.
  enum SortKey: Comparable {
    case number(Double)
    case text(String)
  }

  struct Label {
    let text: String
    let sort: SortKey
  }

  /// One entry a row; −1 where the row has no value for a key.
  private(set) var groupOfRow: [Int32]
  /// One entry a group: its name for every key.
  private(set) var labels: [[Label]] = []
  /// For each key, rows of the mask that have no value for it (and had one for the keys before).
  private(set) var missing: [Int] = []

  /// Throws `TOO_MANY_GROUPS`.
  init(_ keys: [GroupKey], table: DataTable, mask: [Bool]?, check: () throws -> Void) throws {
    groupOfRow = (0..<table.rowCount).map { mask?[$0] ?? true ? 0 : -1 }
    labels = [[]]
    for key in keys { try split(by: key, table, check) }
  }

  private mutating func split(by key: GroupKey, _ table: DataTable, _ check: () throws -> Void) throws {
    let column = table.columns[key.column]
    let dates = column.type.isDate ? try table.dates(column, check: check) : []
    var ids: [Pair: Int32] = [:]
    var made: [[Label]] = []
    var textIDs: [ArraySlice<UInt8>: Int] = [:]
    var without = 0
    for row in groupOfRow.indices where groupOfRow[row] >= 0 {
      if row % 4_096 == 0 { try check() }
      guard let value = Self.value(key, row, table, dates, &textIDs) else {
        groupOfRow[row] = -1
        without += 1
        continue
      }
      let pair = Pair(group: groupOfRow[row], value: value)
      if let id = ids[pair] {
        groupOfRow[row] = id
        continue
      }
      guard made.count < QueryLimits.groups else {
        throw ToolError(
          "TOO_MANY_GROUPS",
          "'\(column.name)' makes more than \(grouped(QueryLimits.groups)) groups; group by something coarser.",
          details: ["column": column.name])
      }
      let label = Self.label(key, value, row, table)
      made.append(labels[Int(groupOfRow[row])] + [label])
      ids[pair] = Int32(made.count - 1)
      groupOfRow[row] = Int32(made.count - 1)
    }
    labels = made
    missing.append(without)
  }

  private struct Pair: Hashable {
    let group: Int32
    let value: Int
  }

  private static func value(
    _ key: GroupKey, _ row: Int, _ table: DataTable, _ dates: [DateValue?], _ textIDs: inout [ArraySlice<UInt8>: Int]
  ) -> Int? {
    switch key {
    case .datePart(_, let part): return dates[row].map { DatePartKey.key($0.seconds, part) }
    case .column(let column):
      if !dates.isEmpty { return dates[row].map { Int($0.seconds) } }
      let range = table.cells.trimmed(row, column)
      if MissingValue.matches(table.cells.bytes, range) { return nil }
      let slice = table.cells.bytes[range]
      if let id = textIDs[slice] { return id }
      textIDs[slice] = textIDs.count
      return textIDs.count - 1
    }
  }

  private static func label(_ key: GroupKey, _ value: Int, _ row: Int, _ table: DataTable) -> Label {
    switch key {
    case .datePart(_, let part): return Label(text: DatePartKey.label(value, part), sort: .number(Double(value)))
    case .column(let index):
      let column = table.columns[index]
      if column.type.isDate { return Label(text: DatePartKey.isoText(Int64(value)), sort: .number(Double(value))) }
      let text = table.cells.text(row, index)
      if case .number(let style) = column.type, let number = NumberText.parse(text, style: style) {
        return Label(text: text, sort: .number(number.double))
      }
      return Label(text: text, sort: .text(text.lowercased()))
    }
  }

  /// Month and weekday names sort through the year and the week, everything else by itself.
  static func order(_ labels: [[Label]]) -> [Int] {
    let keyCount = labels.first?.count ?? 0
    let calendars = (0..<keyCount).map { key in calendar(labels.map { $0[key].text }) }
    func sortKey(_ group: Int, _ key: Int) -> SortKey {
      calendars[key].map { .number($0[group]) } ?? labels[group][key].sort
    }
    return labels.indices.sorted { a, b in
      for key in 0..<keyCount {
        let (x, y) = (sortKey(a, key), sortKey(b, key))
        if x != y { return x < y }
      }
      return a < b
    }
  }

  private static func calendar(_ names: [String]) -> [Double]? {
    let weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    let months = names.map { DateText.month($0).map(Double.init) }
    if months.allSatisfy({ $0 != nil }) { return months.compactMap { $0 } }
    let days = names.map { name in
      weekdays.firstIndex { name.count >= 3 && name.lowercased().hasPrefix($0) }.map(Double.init)
    }
    return days.allSatisfy { $0 != nil } ? days.compactMap { $0 } : nil
  }
}
