/// Turns a file's bytes into a table.
enum DataLoader {
  static let maximumBytes = 64 * 1024 * 1024

  /// Throws `EMPTY_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ENCODING`, `MALFORMED_CSV`, `MALFORMED_JSON`,
  /// `UNSUPPORTED_INPUT`.
  static func load(_ input: ToolInput, work: (_ fraction: Double) throws -> Void) throws -> DataTable {
    guard input.bytes.count <= maximumBytes else {
      throw ToolError("INPUT_TOO_LARGE", "\(input.name) is larger than 64 MiB.", details: ["input": input.name])
    }
    try refuseBinary(input)
    let start = try CSVFormat.checkEncoding(input.bytes)
    guard input.bytes[start...].contains(where: { !isSpace($0) }) else {
      throw ToolError("EMPTY_INPUT", "\(input.name) is empty.", details: ["input": input.name])
    }
    let (header, cells, delimiter) = try isJSON(input, start) ? json(input, start, work) : separated(input, start, work)
    guard cells.rowCount > 0 else {
      throw ToolError("EMPTY_INPUT", "\(input.name) has a header but no rows.", details: ["input": input.name])
    }
    let columns = try TypeInference.columns(named: header, in: cells, delimiter: delimiter) { try work(1) }
    return DataTable(name: input.name, columns: columns, cells: cells)
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// Files that people upload by mistake, told apart by their first bytes.
  private static func refuseBinary(_ input: ToolInput) throws {
    let kinds: [([UInt8], String)] = [
      ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive or spreadsheet (.xlsx)"), ([0x25, 0x50, 0x44, 0x46], "a PDF"),
      ([0xD0, 0xCF, 0x11, 0xE0], "an old Office document (.xls)"), ([0x1F, 0x8B], "gzip-compressed"),
      ([0x89, 0x50, 0x4E, 0x47], "a picture"), (Array("PAR1".utf8), "a Parquet file"),
    ]
    for (magic, kind) in kinds where input.bytes.starts(with: magic) {
      throw ToolError(
        "UNSUPPORTED_INPUT", "\(input.name) is \(kind); save the table as CSV, TSV or JSON.",
        details: ["input": input.name])
    }
  }

  private static func isJSON(_ input: ToolInput, _ start: Int) -> Bool {
    let name = input.name.lowercased()
    if input.mediaType.lowercased().contains("json") || name.hasSuffix(".json") || isLines(input) { return true }
    if input.mediaType.lowercased().contains("csv") || name.hasSuffix(".csv") || name.hasSuffix(".tsv") { return false }
    let first = input.bytes[start...].first { !isSpace($0) }
    return first == UInt8(ascii: "[") || first == UInt8(ascii: "{")
  }

  private static func isLines(_ input: ToolInput) -> Bool {
    let name = input.name.lowercased()
    return input.mediaType.lowercased().contains("ndjson") || name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson")
  }

  private static func separated(
    _ input: ToolInput, _ start: Int, _ work: (Double) throws -> Void
  ) throws -> ([String], CellStore, UInt8?) {
    let isTabs = input.mediaType.lowercased().contains("tab-separated") || input.name.lowercased().hasSuffix(".tsv")
    let delimiter = isTabs ? UInt8(ascii: "\t") : CSVFormat.delimiter(of: input.bytes, from: start)
    let (header, cells) = try CSVReader.read(input.bytes, from: start, delimiter: delimiter, work: work)
    return (header, cells, delimiter)
  }

  private static func json(
    _ input: ToolInput, _ start: Int, _ work: (Double) throws -> Void
  ) throws -> ([String], CellStore, UInt8?) {
    let objects = try withoutActuallyEscaping(work) { work in
      try rows(input, start) { try work(0.5) }
    }
    var header: [String] = []
    var positions: [String: Int] = [:]
    for case .object(let members) in objects {
      for (name, _) in members where positions[name] == nil {
        positions[name] = header.count
        header.append(name)
      }
    }
    guard !header.isEmpty else {
      throw ToolError("EMPTY_INPUT", "\(input.name) has no rows with columns.", details: ["input": input.name])
    }
    var cells = CellStore()
    for (number, object) in objects.enumerated() {
      if number % 4_096 == 0 { try work(0.5) }
      guard case .object(let members) = object else { continue }
      var row = [String](repeating: "", count: header.count)
      for (name, value) in members { if let position = positions[name] { row[position] = cell(value) } }
      for text in row {
        cells.append(Array(text.utf8)[...])
        try cells.endCell()
      }
    }
    cells.setColumns(header.count)
    return (header, cells, nil)
  }

  /// The array of objects itself, or the only array of objects inside an object (`{"data": […]}`).
  private static func rows(_ input: ToolInput, _ start: Int, _ check: @escaping () throws -> Void) throws -> [JSONValue]
  {
    var items: [JSONValue]?
    if isLines(input) {
      items = try JSONReader.readLines(input.bytes, from: start, check: check)
    } else {
      switch try JSONReader.read(input.bytes, from: start, check: check) {
      case .array(let array): items = array
      case .object(let members):
        let arrays = members.compactMap { member -> [JSONValue]? in
          guard case .array(let array) = member.1, case .object = array.first else { return nil }
          return array
        }
        if arrays.count == 1 { items = arrays[0] }
      default: break
      }
    }
    guard let items else {
      throw ToolError("MALFORMED_JSON", "\(input.name) is not an array of objects.", details: ["input": input.name])
    }
    for (number, item) in items.enumerated() {
      guard case .object = item else {
        throw ToolError(
          "MALFORMED_JSON", "\(input.name): item \(number + 1) of the array is not an object.",
          details: ["input": input.name, "item": String(number + 1)])
      }
    }
    return items
  }

  private static func cell(_ value: JSONValue) -> String {
    switch value {
    case .null: ""
    case .bool(let bool): bool ? "true" : "false"
    case .number(let digits): digits
    case .string(let text): text
    case .array, .object: value.compact
    }
  }
}
