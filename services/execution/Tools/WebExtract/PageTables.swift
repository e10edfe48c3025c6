/// A table of a page, spans expanded: every row has the same number of cells.
struct PageTable: Sendable, Hashable {
  let caption: String
  let rows: [[String]]

  var columnCount: Int { rows.first?.count ?? 0 }
}

/// Reads the tables of a page.
enum PageTables {
  static let maximumTables = 50
  private static let maximumCells = 200_000
  private static let maximumSpan = 1_000

  /// Tables with data in document order; those with a single row or cell only arrange a page.
  static func extract(_ tree: HTMLTree, check: () throws -> Void) throws -> [PageTable] {
    var tables: [PageTable] = []
    for index in tree.elements(["table"]) where tables.count < maximumTables {
      try check()
      if let table = table(tree, index) { tables.append(table) }
    }
    return tables
  }

  private static func table(_ tree: HTMLTree, _ index: Int) -> PageTable? {
    let rows = ownRows(tree, index)
    guard !rows.isEmpty, tree[index].attributes["role"]?.lowercased() != "presentation" else { return nil }
    var grid = Grid()
    var hasHeader = false
    for (number, row) in rows.enumerated() {
      for cell in tree[row].children where ["td", "th"].contains(tree[cell].name) {
        if tree[cell].name == "th" { hasHeader = true }
        let columns = span(tree[cell].attributes["colspan"], limit: maximumSpan)
        let down = span(tree[cell].attributes["rowspan"], zero: rows.count - number, limit: rows.count - number)
        guard grid.place(tree.text(of: cell), row: number, columns: columns, rows: down, limit: maximumCells) else {
          break
        }
      }
    }
    let filled = grid.rows()
    guard filled.count > 1 || hasHeader, (filled.first?.count ?? 0) > 1 || hasHeader else { return nil }
    guard filled.contains(where: { $0.contains { !$0.isEmpty } }) else { return nil }
    let caption = tree[index].children.first { tree[$0].name == "caption" }.map { tree.text(of: $0) } ?? ""
    return PageTable(caption: caption, rows: filled)
  }

  /// The rows of this table and not of tables inside it; the foot comes last, wherever it is written.
  private static func ownRows(_ tree: HTMLTree, _ index: Int) -> [Int] {
    var rows: [Int] = [], foot: [Int] = []
    for child in tree[index].children {
      switch tree[child].name {
      case "tr": rows.append(child)
      case "thead", "tbody": rows += tree[child].children.filter { tree[$0].name == "tr" }
      case "tfoot": foot += tree[child].children.filter { tree[$0].name == "tr" }
      default: break
      }
    }
    return rows + foot
  }

  /// `zero` is what 0 stands for: all rows that are left.
  private static func span(_ text: String?, zero: Int = 1, limit: Int) -> Int {
    guard let text, let value = Int(text.trimmedWhitespace), value >= 0 else { return 1 }
    return max(1, min(value == 0 ? zero : value, limit))
  }

  /// Cells by place; a cell that spans fills every place it covers.
  private struct Grid {
    private var cells: [[String?]] = []
    private var used = 0

    /// False when the table is too large to go on.
    mutating func place(_ text: String, row: Int, columns: Int, rows: Int, limit: Int) -> Bool {
      used += columns * rows
      guard used <= limit else { return false }
      while cells.count < row + rows { cells.append([]) }
      var column = 0
      while column < cells[row].count, cells[row][column] != nil { column += 1 }
      for down in row..<(row + rows) {
        while cells[down].count < column + columns { cells[down].append(nil) }
        for across in column..<(column + columns) where cells[down][across] == nil { cells[down][across] = text }
      }
      return true
    }

    func rows() -> [[String]] {
      let width = cells.map(\.count).max() ?? 0
      return cells.map { row in (0..<width).map { $0 < row.count ? row[$0] ?? "" : "" } }
    }
  }
}
