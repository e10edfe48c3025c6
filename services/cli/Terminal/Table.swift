/// Columns aligned for a terminal. Cells are taken as untrusted text.
struct Table {
  enum Alignment { case left, right }

  private var rows: [[String]]
  private let alignments: [Alignment]

  init(_ columns: (String, Alignment)...) {
    rows = [columns.map(\.0)]
    alignments = columns.map(\.1)
  }

  mutating func add(_ cells: String...) { rows.append(cells.map(TerminalText.line)) }

  /// One line a row, the heading first. The last column is cut so that a line fits into `columns`; nil does not cut.
  func lines(columns: Int?) -> [String] {
    let widths = alignments.indices.map { column in rows.map { TerminalText.width($0[column]) }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        if column > 0 { line += "  " }
        let isLast = column == row.count - 1
        let room = columns.map { max(8, $0 - TerminalText.width(line)) }
        line += aligned(cell, column, isLast ? min(widths[column], room ?? .max) : widths[column], isLast: isLast)
      }
      return line
    }
  }

  private func aligned(_ cell: String, _ column: Int, _ width: Int, isLast: Bool) -> String {
    let text = TerminalText.truncated(cell, to: width)
    if alignments[column] == .right {
      return String(repeating: " ", count: width - TerminalText.width(text)) + text
    }
    return isLast ? text : TerminalText.padded(text, to: width)
  }
}
