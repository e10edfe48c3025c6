/// What a file of separated values is written in.
enum CSVFormat {
  static let candidates: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "\t"), UInt8(ascii: "|")]

  /// The delimiter that cuts the first lines into the same number of fields most often, two or more; a comma if none.
  static func delimiter(of bytes: [UInt8], from start: Int) -> UInt8 {
    let sample = bytes[start..<min(bytes.count, start + 64 * 1024)]
    var best = (delimiter: candidates[0], score: 0.0)
    for candidate in candidates {
      let counts = fieldCounts(sample, delimiter: candidate)
      guard let first = counts.first, first > 1 else { continue }
      let agreeing = counts.filter { $0 == first }.count
      // Agreement decides; more fields break a tie.
      let score = Double(agreeing) / Double(counts.count) + Double(min(first, 1_000)) / 100_000
      if score > best.score { best = (candidate, score) }
    }
    return best.delimiter
  }

  /// Fields in each of the first 30 records.
  private static func fieldCounts(_ sample: ArraySlice<UInt8>, delimiter: UInt8) -> [Int] {
    var counts: [Int] = []
    var fields = 1, quoted = false, empty = true
    for byte in sample {
      if byte == UInt8(ascii: "\"") { quoted.toggle() }
      if !quoted, byte == delimiter { fields += 1 }
      if !quoted, byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
        if !empty { counts.append(fields) }
        (fields, empty) = (1, true)
        if counts.count == 30 { return counts }
      } else {
        empty = false
      }
    }
    if !empty, counts.isEmpty || sample.count < 64 * 1024 { counts.append(fields) }
    return counts
  }

  /// Bytes of a UTF-8 byte order mark at the start. Throws `INVALID_ENCODING` for UTF-16 and for what is not UTF-8.
  static func checkEncoding(_ bytes: [UInt8]) throws -> Int {
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      throw ToolError("INVALID_ENCODING", "The file is UTF-16; save it as UTF-8.", details: ["encoding": "UTF-16"])
    }
    if let offset = firstInvalidUTF8(bytes) {
      let line = 1 + bytes[..<offset].count { $0 == UInt8(ascii: "\n") }
      throw ToolError(
        "INVALID_ENCODING",
        "Line \(line) is not valid UTF-8 (byte 0x\(String(bytes[offset], radix: 16))); save the file as UTF-8.",
        details: ["line": String(line), "offset": String(offset)])
    }
    return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
  }

  /// Where the first byte is that does not belong to well-formed UTF-8 (Unicode 15, table 3-7), or a NUL.
  static func firstInvalidUTF8(_ bytes: [UInt8]) -> Int? {
    var index = 0
    while index < bytes.count {
      let lead = bytes[index]
      if lead < 0x80 {
        if lead == 0 { return index }
        index += 1
        continue
      }
      let length: Int, second: ClosedRange<UInt8>
      switch lead {
      case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
      case 0xE0: (length, second) = (3, 0xA0...0xBF)
      case 0xED: (length, second) = (3, 0x80...0x9F)
      case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
      case 0xF0: (length, second) = (4, 0x90...0xBF)
      case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
      case 0xF4: (length, second) = (4, 0x80...0x8F)
      default: return index
      }
      guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return index }
      for next in (index + 2)..<max(index + length, index + 2) where bytes[next] & 0xC0 != 0x80 { return index }
      index += length
    }
    return nil
  }
}

/// Writes RFC 4180 with CRLF line ends, quoting only where needed.
enum CSVWriter {
  static func write(header: [String], rows: [[String]]) -> [UInt8] {
    var out: [UInt8] = []
    for row in [header] + rows {
      for (index, field) in row.enumerated() {
        if index > 0 { out.append(UInt8(ascii: ",")) }
        // A lone empty field would read as a blank line.
        append(field, force: row.count == 1 && field.isEmpty, to: &out)
      }
      out += [0x0D, 0x0A]
    }
    return out
  }

  private static func append(_ field: String, force: Bool, to out: inout [UInt8]) {
    let special: Set<UInt8> = [UInt8(ascii: ","), UInt8(ascii: "\""), 0x0A, 0x0D]
    let edges: Set<UInt8> = [0x20, 0x09]
    let bytes = field.utf8
    guard
      force || bytes.contains(where: special.contains) || bytes.first.map(edges.contains) == true
        || bytes.last.map(edges.contains) == true
    else {
      out += bytes
      return
    }
    out.append(UInt8(ascii: "\""))
    for byte in bytes {
      if byte == UInt8(ascii: "\"") { out.append(byte) }
      out.append(byte)
    }
    out.append(UInt8(ascii: "\""))
  }
}
