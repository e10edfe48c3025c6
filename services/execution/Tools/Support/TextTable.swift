/// A table for a terminal: columns padded to their widest cell, numbers to the right.
struct TextTable {
  var header: [String]
  var rows: [[String]]
  /// Which columns are aligned to the right.
  var rightAligned: Set<Int> = []
  /// Characters a cell may have before it is cut.
  var maximumWidth = 40

  func render() -> String {
    let cells = ([header] + rows).map { row in row.map { Self.oneLine($0).shortened(to: maximumWidth) } }
    let widths = header.indices.map { column in
      cells.map { column < $0.count ? Self.width($0[column]) : 0 }.max() ?? 0
    }
    var lines = cells.map { line($0, widths) }
    lines.insert(widths.map { String(repeating: "─", count: $0) }.joined(separator: "  "), at: 1)
    return lines.joined(separator: "\n")
  }

  private func line(_ row: [String], _ widths: [Int]) -> String {
    let padded = widths.indices.map { column in
      let cell = column < row.count ? row[column] : ""
      let space = String(repeating: " ", count: widths[column] - Self.width(cell))
      return rightAligned.contains(column) ? space + cell : cell + space
    }
    var text = padded.joined(separator: "  ")
    while text.last == " " { text.removeLast() }
    return text
  }

  private static func oneLine(_ text: String) -> String {
    text.contains { $0.isNewline || $0 == "\t" } ? String(text.map { $0.isNewline || $0 == "\t" ? " " : $0 }) : text
  }

  /// Terminal columns: East Asian wide characters and emoji take two.
  private static func width(_ text: String) -> Int {
    text.reduce(0) { sum, character in
      let value = character.unicodeScalars.first?.value ?? 0
      let wide =
        (0x1100...0x115F).contains(value) || (0x2E80...0xA4CF).contains(value)
        || (0xAC00...0xD7A3).contains(value) || (0xF900...0xFAFF).contains(value)
        || (0xFE30...0xFE6F).contains(value) || (0xFF00...0xFF60).contains(value)
        || (0x1F300...0x1FAFF).contains(value) || (0x20000...0x3FFFD).contains(value)
      return sum + (wide ? 2 : 1)
    }
  }
}
