/// A piece of a statement, as far as Storage has to tell pieces apart.
enum SQLToken {
  case word(ArraySlice<UInt8>)
  /// The digits of `$12`.
  case parameter(ArraySlice<UInt8>)
  /// A quoted text or name, or a comment: never looked into.
  case opaque(ArraySlice<UInt8>)
  case other(UInt8)
}

/// The SQL that both engines take: what is checked before either gets it.
enum SQLText {
  /// Statements that only Storage may run: a closure that ended its transaction would commit other writers' halves,
  /// and one that changed its connection's settings would change them for all that come after it.
  private static let reserved: Set<String> = [
    "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE", "DEALLOCATE", "DISCARD",
    "SET", "RESET", "LISTEN", "UNLISTEN", "NOTIFY", "COPY", "ATTACH", "DETACH", "VACUUM",
  ]

  /// Hands out the pieces of a statement and returns the number of its highest parameter.
  ///
  /// Throws ``StorageError/sql(_:)`` for parameters that are not written `$1` and for reserved statements.
  @discardableResult
  static func read(_ sql: String, _ take: (SQLToken) -> Void = { _ in }) throws -> Int {
    var scanner = SQLScanner(sql)
    var firstWord: String?
    var highest = 0
    while let token = try scanner.next() {
      switch token {
      case .word(let word): firstWord = firstWord ?? String(decoding: word, as: UTF8.self).uppercased()
      case .parameter(let digits): highest = max(highest, Int(String(decoding: digits, as: UTF8.self)) ?? .max)
      case .other(UInt8(ascii: "?")), .other(UInt8(ascii: "@")):
        throw StorageError.sql("parameters are written $1, $2 …: \(sql)")
      case .opaque, .other: break
      }
      take(token)
    }
    if let firstWord, reserved.contains(firstWord) {
      throw StorageError.sql("\(firstWord) is reserved: the database directs its transactions itself")
    }
    return highest
  }
}

struct SQLScanner {
  private let bytes: [UInt8]
  private var position = 0

  init(_ sql: String) { bytes = Array(sql.utf8) }

  mutating func next() throws -> SQLToken? {
    guard let byte = current else { return nil }
    switch byte {
    case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): return .opaque(quoted(by: byte))
    case UInt8(ascii: "-") where following == byte: return .opaque(comment(endingWith: "\n"))
    case UInt8(ascii: "/") where following == UInt8(ascii: "*"): return .opaque(comment(endingWith: "*/"))
    case UInt8(ascii: "$"): return .parameter(try parameter())
    case _ where byte.isWordStart: return .word(word())
    default:
      position += 1
      return .other(byte)
    }
  }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }
  private var following: UInt8? { position + 1 < bytes.count ? bytes[position + 1] : nil }

  /// A quoted text or name; its quote is doubled inside, which reads as two texts that touch.
  private mutating func quoted(by quote: UInt8) -> ArraySlice<UInt8> {
    let start = position
    position += 1
    while let byte = current, byte != quote { position += 1 }
    position = min(position + 1, bytes.count)
    return bytes[start..<position]
  }

  /// A comment with its end, or up to the end of the text.
  private mutating func comment(endingWith end: String) -> ArraySlice<UInt8> {
    let start = position
    position += 2
    while position < bytes.count, !bytes[position...].starts(with: end.utf8) { position += 1 }
    position = min(position + end.utf8.count, bytes.count)
    return bytes[start..<position]
  }

  private mutating func parameter() throws -> ArraySlice<UInt8> {
    let start = position + 1
    position = start
    while let byte = current, byte.isDigit { position += 1 }
    guard position > start else { throw StorageError.sql("a $ without a number") }
    return bytes[start..<position]
  }

  private mutating func word() -> ArraySlice<UInt8> {
    let start = position
    while let byte = current, byte.isWordStart || byte.isDigit || byte == UInt8(ascii: "$") { position += 1 }
    return bytes[start..<position]
  }
}

extension UInt8 {
  fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
  fileprivate var isWordStart: Bool {
    let lower = self | 0x20
    return (lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")) || self == UInt8(ascii: "_") || self >= 0x80
  }
}
