/// Reads CSV as RFC 4180 has it, from UTF-8 bytes into a `CellStore`.
///
/// Our own because the Swift library at hand (SwiftCSV 0.10) goes character by character over one `String`, fills short
/// rows up silently, strips spaces inside fields, and its errors carry no line: a file that is broken must be refused
/// with the line to look at, and 64 MiB must be read in seconds.
///
/// Beyond the RFC: LF and CR end lines too, blank lines are skipped, and a quote inside an unquoted field (`5" pipe`)
/// is taken as it is. Within the RFC everything is strict: text behind a closing quote, a quote that is never closed
/// and a row with more or fewer fields than the header are errors with their line.
struct CSVReader {
  private static let quote = UInt8(ascii: "\""), newline = UInt8(ascii: "\n"), carriageReturn = UInt8(ascii: "\r")

  private let bytes: [UInt8]
  private let delimiter: UInt8
  private var index: Int
  private var line = 1
  private var cells = CellStore()

  /// The header and the rows. Throws `MALFORMED_CSV`, `INPUT_TOO_LARGE`.
  static func read(
    _ bytes: [UInt8], from start: Int = 0, delimiter: UInt8, work: (_ done: Double) throws -> Void = { _ in }
  ) throws -> (header: [String], cells: CellStore) {
    var reader = CSVReader(bytes: bytes, delimiter: delimiter, index: start)
    return try reader.readAll(work)
  }

  private init(bytes: [UInt8], delimiter: UInt8, index: Int) {
    self.bytes = bytes
    self.delimiter = delimiter
    self.index = index
    cells.reserve(bytes: bytes.count)
  }

  private mutating func readAll(
    _ work: (Double) throws -> Void
  ) throws -> (header: [String], cells: CellStore) {
    var columns = 0
    var rows = 0
    while skipBlankLines() {
      let start = line
      let fields = try record()
      if columns == 0 { columns = fields }
      guard fields == columns else { throw Self.ragged(line: start, fields: fields, columns: columns) }
      rows += 1
      if rows % 4_096 == 0 { try work(Double(index) / Double(bytes.count)) }
    }
    guard columns > 0 else { return ([], cells) }
    let header = cells.removeHeader(columns: columns)
    return (header, cells)
  }

  /// False at the end of the input.
  private mutating func skipBlankLines() -> Bool {
    while index < bytes.count, bytes[index] == Self.newline || bytes[index] == Self.carriageReturn { endLine() }
    return index < bytes.count
  }

  /// Reads up to and including the line's end; returns the number of fields.
  private mutating func record() throws -> Int {
    var fields = 0
    while true {
      if index < bytes.count, bytes[index] == Self.quote { try quotedField() } else { plainField() }
      try cells.endCell()
      fields += 1
      guard index < bytes.count else { return fields }
      if bytes[index] == delimiter {
        index += 1
      } else {
        endLine()
        return fields
      }
    }
  }

  private mutating func plainField() {
    let start = index
    while index < bytes.count {
      let byte = bytes[index]
      if byte == delimiter || byte == Self.newline || byte == Self.carriageReturn { break }
      index += 1
    }
    cells.append(bytes[start..<index])
  }

  private mutating func quotedField() throws {
    let opened = line
    index += 1
    var start = index
    while index < bytes.count {
      let byte = bytes[index]
      if byte == Self.quote {
        cells.append(bytes[start..<index])
        index += 1
        guard index < bytes.count, bytes[index] == Self.quote else { return try endQuotedField() }
        start = index  // the second quote of a pair stands for one
        index += 1
      } else if byte == Self.newline || byte == Self.carriageReturn {
        endLine()
      } else {
        index += 1
      }
    }
    throw ToolError(
      "MALFORMED_CSV", "Line \(opened): a quoted field is opened there and never closed.",
      details: ["line": String(opened)])
  }

  private func endQuotedField() throws {
    guard index < bytes.count else { return }
    let byte = bytes[index]
    guard byte == delimiter || byte == Self.newline || byte == Self.carriageReturn else {
      throw ToolError(
        "MALFORMED_CSV",
        "Line \(line): there is text right behind a closing quote; quotes inside a field are written \"\".",
        details: ["line": String(line)])
    }
  }

  /// CRLF counts as one end.
  private mutating func endLine() {
    if bytes[index] == Self.carriageReturn, index + 1 < bytes.count, bytes[index + 1] == Self.newline { index += 1 }
    index += 1
    line += 1
  }

  private static func ragged(line: Int, fields: Int, columns: Int) -> ToolError {
    ToolError(
      "MALFORMED_CSV", "Line \(line) has \(counted(fields, "field")) where the header has \(columns).",
      details: ["line": String(line), "fields": String(fields), "expected": String(columns)])
  }
}
