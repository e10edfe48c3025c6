/// A JSON text as read: numbers as they were written, members in their order.
package enum JSONValue {
  case null
  case bool(Bool)
  /// As written, so that no digit of a 64-bit integer is lost.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([(key: String, value: JSONValue)])

  /// How an error message shows what was found, at most about 40 characters.
  package var shown: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let text): Self.shortened(text)
    case .string(let text): "\"\(Self.shortened(text))\""
    case .array: "a list"
    case .object: "an object"
    }
  }

  private static func shortened(_ text: String) -> String {
    text.utf8.count <= 40 ? text : String(text.prefix(20)) + "…"
  }
}

/// Reads one JSON text (RFC 8259), strictly.
///
/// Our own because Foundation's parsers turn numbers into Doubles or lose their text, take the last of two equal keys
/// without a word, and have no limit of depth: ProtoJSON needs exact 64-bit integers and must refuse duplicates.
package struct JSONReader {
  private let bytes: [UInt8]
  private let maximumDepth: Int
  private var position = 0

  /// Throws JSONError, whose message says the byte offset.
  package static func read(_ bytes: [UInt8], maximumDepth: Int) throws -> JSONValue {
    guard bytes.withUnsafeBytes({ UTF8Check.isValid($0) }) else { throw JSONError("the text is not valid UTF-8") }
    var reader = JSONReader(bytes: bytes, maximumDepth: maximumDepth)
    reader.skipSpace()
    let value = try reader.value(depth: 0)
    reader.skipSpace()
    guard reader.position == bytes.count else { throw reader.error("nothing more after the value") }
    return value
  }

  private init(bytes: [UInt8], maximumDepth: Int) {
    self.bytes = bytes
    self.maximumDepth = maximumDepth
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func error(_ expected: String) -> JSONError {
    let found = position < bytes.count ? "at byte \(position)" : "at the end of the text"
    return JSONError("malformed JSON \(found): expected \(expected)")
  }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private mutating func skip(_ byte: Character) -> Bool {
    guard next == byte.asciiValue else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws -> JSONValue {
    guard let next else { throw error("a value") }
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth + 1)
    case UInt8(ascii: "["): return try array(depth: depth + 1)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw error("a value")
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws -> JSONValue {
    let count = word.utf8CodeUnitCount
    let matches = word.withUTF8Buffer { bytes[position...].prefix(count).elementsEqual($0) }
    guard matches else { throw error("a value") }
    position += count
    return value
  }

  // MARK: - Objects and lists

  private func checkDepth(_ depth: Int) throws {
    if depth > maximumDepth { throw JSONError("more than \(maximumDepth) objects and lists inside each other") }
  }

  private mutating func object(depth: Int) throws -> JSONValue {
    try checkDepth(depth)
    position += 1
    skipSpace()
    if skip("}") { return .object([]) }
    var members: [(key: String, value: JSONValue)] = []
    var keys: Set<String> = []
    while true {
      guard next == UInt8(ascii: "\"") else { throw error("a key in quotes") }
      let key = try string()
      guard keys.insert(key).inserted else { throw JSONError("the key \"\(key)\" is there twice") }
      skipSpace()
      guard skip(":") else { throw error("\":\"") }
      skipSpace()
      members.append((key, try value(depth: depth)))
      skipSpace()
      if skip("}") { return .object(members) }
      guard skip(",") else { throw error("\",\" or \"}\"") }
      skipSpace()
    }
  }

  private mutating func array(depth: Int) throws -> JSONValue {
    try checkDepth(depth)
    position += 1
    skipSpace()
    if skip("]") { return .array([]) }
    var elements: [JSONValue] = []
    while true {
      elements.append(try value(depth: depth))
      skipSpace()
      if skip("]") { return .array(elements) }
      guard skip(",") else { throw error("\",\" or \"]\"") }
      skipSpace()
    }
  }

  // MARK: - Numbers

  private mutating func number() throws -> JSONValue {
    let start = position
    while let byte = next, JSONNumber.isPart(byte) { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard JSONNumber.isValid(text) else {
      position = start
      throw error("a number")
    }
    return .number(text)
  }

  // MARK: - Strings

  private mutating func string() throws -> String {
    position += 1
    var start = position
    var result = ""
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        defer { position += 1 }
        let last = String(decoding: bytes[start..<position], as: UTF8.self)
        return result.isEmpty ? last : result + last
      case UInt8(ascii: "\\"):
        result += String(decoding: bytes[start..<position], as: UTF8.self)
        position += 1
        result.unicodeScalars.append(try escape())
        start = position
      case 0..<0x20: throw error("no control character in a string")
      default: position += 1
      }
    }
    throw error("the string's closing quote")
  }

  private mutating func escape() throws -> Unicode.Scalar {
    guard let byte = next else { throw error("an escape") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape()
    default:
      position -= 1
      throw error("an escape")
    }
  }

  /// A character beyond U+FFFF is written as two surrogates; half of such a pair is no character.
  private mutating func unicodeEscape() throws -> Unicode.Scalar {
    let first = try fourHexDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    if first < 0xDC00, skip("\\"), skip("u") {
      let second = try fourHexDigits()
      if (0xDC00...0xDFFF).contains(second),
        let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
      {
        return scalar
      }
    }
    throw error("both halves of a surrogate pair")
  }

  private mutating func fourHexDigits() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
