import Foundation

/// What a person reads first: the table, then the sentence that says what it is.
enum AnswerText {
  private static let maximumRows = 40
  private static let maximumColumns = 12

  static func make(_ result: QueryResult) -> String {
    let columns = Array(result.columns.indices.prefix(maximumColumns))
    let places = columns.map { decimals(result, $0) }
    let rows = result.rows.prefix(maximumRows).map { row in
      columns.map { shown(row[$0], result.columns[$0].role, decimals: places[$0]) }
    }
    let right = Set(columns.filter { result.columns[$0].role == .number })
    var text = TextTable(header: columns.map { result.columns[$0].title }, rows: rows, rightAligned: right).render()
    if result.rows.count > maximumRows {
      text += "\n… \(counted(result.rows.count - maximumRows, "more row")) in table.csv"
    }
    if result.columns.count > maximumColumns {
      text += "\n… \(counted(result.columns.count - maximumColumns, "more column")) in table.csv"
    }
    return text + "\n\n" + ([result.statement] + result.notes).joined(separator: "\n")
  }

  /// Digits behind the point for a whole column: as many as its cells have, two to four where they are computed.
  private static func decimals(_ result: QueryResult, _ column: Int) -> Int? {
    guard result.columns[column].role == .number else { return nil }
    let places =
      result.rows.prefix(maximumRows).map { row -> Int in
        let text = row[column].text
        guard let point = text.firstIndex(of: ".") else { return 0 }
        return text.distance(from: point, to: text.endIndex) - 1
      }.max() ?? 0
    let largest = result.rows.compactMap { $0[column].number.map(abs) }.max() ?? 0
    return min(places, largest >= 100 ? 2 : largest >= 0.1 ? 3 : 6)
  }

  private static func shown(_ cell: QueryResult.Cell, _ role: QueryResult.Role, decimals: Int?) -> String {
    guard role == .number, let number = cell.number, let decimals else { return cell.text }
    if !cell.text.contains(where: \.isLetter), cell.text.firstIndex(of: ".") == nil || abs(number) < 1e15 {
      if decimals == 0 { return groupedDigits(cell.text) }
      return groupedDigits(String(format: "%.\(decimals)f", number))
    }
    return cell.text
  }
}
