/// Decides what each column holds by looking at every cell.
///
/// A column is of a type if at least 95 % of its cells that are not missing can be read as it; the few others are
/// counted as unreadable and reported with every result, never guessed at.
enum TypeInference {
  private static let share = 0.95

  static func columns(
    named names: [String], in cells: CellStore, delimiter: UInt8?, check: () throws -> Void
  ) throws -> [DataColumn] {
    let unique = uniqueNames(names)
    return try unique.indices.map { index in
      try column(unique[index], index, cells, preferComma: delimiter == UInt8(ascii: ";"), check: check)
    }
  }

  private struct Counts {
    var missing = 0, point = 0, comma = 0, dayFirst = 0, monthFirst = 0, bool = 0, text = 0
    var present: Int { text }
  }

  private static func column(
    _ name: String, _ index: Int, _ cells: CellStore, preferComma: Bool, check: () throws -> Void
  ) throws -> DataColumn {
    var counts = Counts()
    for row in 0..<cells.rowCount {
      if row % 4_096 == 0 { try check() }
      count(cells.bytes, cells.trimmed(row, index), &counts)
    }
    let (type, fitting) = decide(counts, preferComma: preferComma)
    return DataColumn(
      index: index, name: name, type: type, missing: counts.missing, unreadable: counts.present - fitting)
  }

  private static func count(_ bytes: [UInt8], _ range: Range<Int>, _ counts: inout Counts) {
    if MissingValue.matches(bytes, range) {
      counts.missing += 1
      return
    }
    counts.text += 1
    let point = NumberText.parse(bytes, range, style: .decimalPoint) != nil
    let comma = NumberText.parse(bytes, range, style: .decimalComma) != nil
    if point { counts.point += 1 }
    if comma { counts.comma += 1 }
    // "01.02.2023" can be no number in either style; "2023.01" could, and numbers win.
    if point && comma { return }
    if DateText.parse(bytes, range, order: .dayFirst) != nil { counts.dayFirst += 1 }
    if DateText.parse(bytes, range, order: .monthFirst) != nil { counts.monthFirst += 1 }
    if range.count <= 5, BoolText.parse(String(decoding: bytes[range], as: UTF8.self)) != nil { counts.bool += 1 }
  }

  private static func decide(_ counts: Counts, preferComma: Bool) -> (ColumnType, Int) {
    let needed = Int((Double(counts.present) * share).rounded(.up))
    guard counts.present > 0 else { return (.text, 0) }
    let numbers = max(counts.point, counts.comma)
    let dates = max(counts.dayFirst, counts.monthFirst)
    if numbers >= needed, numbers >= dates {
      let comma = counts.comma > counts.point || (counts.comma == counts.point && preferComma)
      return (.number(comma ? .decimalComma : .decimalPoint), numbers)
    }
    // A tie of the orders is only possible if no day is above 12: the American order is then the commoner with slashes.
    if dates >= needed { return (.date(counts.dayFirst > counts.monthFirst ? .dayFirst : .monthFirst), dates) }
    if counts.bool >= needed { return (.bool, counts.bool) }
    return (.text, counts.present)
  }

  /// Empty names become `column 3`. Repeated ones become `price_1` and `price_2`, the first one too: "price" alone
  /// then fits both, so that a question has to say which.
  static func uniqueNames(_ names: [String]) -> [String] {
    let bases = names.enumerated().map { $1.isEmpty ? "column \($0 + 1)" : $1 }
    let uses = bases.reduce(into: [:]) { $0[$1.lowercased(), default: 0] += 1 }
    var taken = Set(uses.keys)
    var copies: [String: Int] = [:]
    return bases.map { base in
      let key = base.lowercased()
      guard uses[key, default: 0] > 1 else { return base }
      var candidate = base
      repeat {
        copies[key, default: 0] += 1
        candidate = "\(base)_\(copies[key, default: 0])"
      } while !taken.insert(candidate.lowercased()).inserted
      return candidate
    }
  }
}
