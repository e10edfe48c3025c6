/// Reads JSON strictly (RFC 8259), keeping the order of members and the digits of numbers, both of which Foundation's
/// parser loses: a table's columns keep their order, and 0.1 stays 0.1.
struct JSONReader {
  private static let maximumDepth = 64

  private let bytes: [UInt8]
  private var index: Int
  private var depth = 0
  private var count = 0
  private let check: () throws -> Void

  /// Throws `MALFORMED_JSON` with the line.
  static func read(_ bytes: [UInt8], from start: Int = 0, check: @escaping () throws -> Void = {}) throws -> JSONValue {
    var reader = JSONReader(bytes: bytes, index: start, check: check)
    let value = try reader.value()
    reader.skipSpace()
    guard reader.index == bytes.count else { throw reader.malformed("there is more text behind the value") }
    return value
  }

  /// JSON Lines: one value a line.
  static func readLines(_ bytes: [UInt8], from start: Int, check: @escaping () throws -> Void) throws -> [JSONValue] {
    var reader = JSONReader(bytes: bytes, index: start, check: check)
    var values: [JSONValue] = []
    reader.skipSpace()
    while reader.index < bytes.count {
      values.append(try reader.value())
      reader.skipSpace()
    }
    return values
  }

  private init(bytes: [UInt8], index: Int, check: @escaping () throws -> Void) {
    self.bytes = bytes
    self.index = index
    self.check = check
  }

  private var byte: UInt8? { index < bytes.count ? bytes[index] : nil }

  private mutating func skipSpace() {
    while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
  }

  private mutating func value() throws -> JSONValue {
    skipSpace()
    count += 1
    if count % 4_096 == 0 { try check() }
    guard count <= 2 * CellStore.maximumCells else { throw malformed("it has too many values") }
    switch byte {
    case UInt8(ascii: "{"): return try nested { try $0.object() }
    case UInt8(ascii: "["): return try nested { try $0.array() }
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case .some(let byte) where byte == UInt8(ascii: "-") || Self.isDigit(byte): return try number()
    case .some: throw malformed("a value is expected")
    case nil: throw malformed("it ends where a value is expected")
    }
  }

  private mutating func nested(_ body: (inout JSONReader) throws -> JSONValue) throws -> JSONValue {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { throw malformed("it is nested more than \(Self.maximumDepth) levels deep") }
    index += 1
    return try body(&self)
  }

  private mutating func object() throws -> JSONValue {
    var members: [(String, JSONValue)] = []
    skipSpace()
    if take("}") { return .object(members) }
    while true {
      skipSpace()
      guard byte == UInt8(ascii: "\"") else { throw malformed("a member's name in quotes is expected") }
      let name = try string()
      skipSpace()
      guard take(":") else { throw malformed("a colon is expected behind \"\(name.shortened(to: 40))\"") }
      members.append((name, try value()))
      skipSpace()
      if take("}") { return .object(members) }
      guard take(",") else { throw malformed("a comma or } is expected") }
    }
  }

  private mutating func array() throws -> JSONValue {
    var items: [JSONValue] = []
    skipSpace()
    if take("]") { return .array(items) }
    while true {
      items.append(try value())
      skipSpace()
      if take("]") { return .array(items) }
      guard take(",") else { throw malformed("a comma or ] is expected") }
    }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard byte == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  private mutating func word(_ text: String, _ value: JSONValue) throws -> JSONValue {
    guard bytes[index...].starts(with: text.utf8) else { throw malformed("a value is expected") }
    index += text.utf8.count
    return value
  }

  private mutating func number() throws -> JSONValue {
    let start = index
    _ = take("-")
    if !take("0") { try digits() }
    if take(".") { try digits() }
    if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
      index += 1
      if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { index += 1 }
      try digits()
    }
    return .number(String(decoding: bytes[start..<index], as: UTF8.self))
  }

  private mutating func digits() throws {
    guard let byte, Self.isDigit(byte) else { throw malformed("a digit is expected") }
    while let byte = self.byte, Self.isDigit(byte) { index += 1 }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  private mutating func string() throws -> String {
    index += 1
    var out: [UInt8] = []
    var start = index
    while let byte {
      switch byte {
      case UInt8(ascii: "\""):
        out += bytes[start..<index]
        index += 1
        return String(decoding: out, as: UTF8.self)
      case UInt8(ascii: "\\"):
        out += bytes[start..<index]
        index += 1
        out += try escape()
        start = index
      case 0..<0x20: throw malformed("a control character stands in a string")
      default: index += 1
      }
    }
    throw malformed("a string is not closed")
  }

  private mutating func escape() throws -> [UInt8] {
    guard let byte else { throw malformed("a string is not closed") }
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var units = [try hex()]
      if UTF16.isLeadSurrogate(units[0]), bytes[index...].starts(with: "\\u".utf8) {
        index += 2
        units.append(try hex())
      }
      return Array(String(decoding: units, as: UTF16.self).utf8)
    default: throw malformed("an unknown escape stands in a string")
    }
  }

  private mutating func hex() throws -> UInt16 {
    guard index + 4 <= bytes.count,
      let unit = UInt16(String(decoding: bytes[index..<(index + 4)], as: UTF8.self), radix: 16)
    else { throw malformed("\\u needs four hexadecimal digits") }
    index += 4
    return unit
  }

  private func malformed(_ what: String) -> ToolError {
    let line = 1 + bytes[..<min(index, bytes.count)].count { $0 == 0x0A }
    return ToolError("MALFORMED_JSON", "Line \(line): \(what).", details: ["line": String(line)])
  }
}
