/// Buddy's SQL as SQLite takes it.
enum SQLiteText {
  /// Statements that only Storage may run: a closure that ended its transaction would commit other writers' halves.
  private static let reserved: Set<String> = [
    "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM",
  ]

  /// Turns `$1` into `?1`: to SQLite `$1` is a name, numbered by where it first stands. Texts, quoted names and
  /// comments are left alone. Throws ``StorageError/sql(_:)`` for parameters of SQLite's own kinds and for
  /// statements that direct transactions.
  static func translate(_ sql: String) throws -> String {
    var scanner = Scanner(bytes: Array(sql.utf8))
    var result: [UInt8] = []
    var firstWord: String?
    while let byte = scanner.current {
      switch byte {
      case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"):
        result += scanner.quoted(by: byte)
      case UInt8(ascii: "-") where scanner.next == byte:
        result += scanner.comment(endingWith: "\n")
      case UInt8(ascii: "/") where scanner.next == UInt8(ascii: "*"):
        result += scanner.comment(endingWith: "*/")
      case UInt8(ascii: "$"):
        result += Array("?".utf8) + (try scanner.parameter())
      case UInt8(ascii: "?"), UInt8(ascii: "@"):
        throw StorageError.sql("parameters are written $1, $2 …: \(sql)")
      case _ where byte.isWordStart:
        let word = scanner.word()
        firstWord = firstWord ?? String(decoding: word, as: UTF8.self).uppercased()
        result += word
      default:
        result.append(byte)
        scanner.position += 1
      }
    }
    if let firstWord, reserved.contains(firstWord) {
      throw StorageError.sql("\(firstWord) is reserved: the database directs its transactions itself")
    }
    return String(decoding: result, as: UTF8.self)
  }

  private struct Scanner {
    let bytes: [UInt8]
    var position = 0

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }
    var next: UInt8? { position + 1 < bytes.count ? bytes[position + 1] : nil }

    /// A quoted text or name; its quote is doubled inside, which reads as two texts that touch.
    mutating func quoted(by quote: UInt8) -> ArraySlice<UInt8> {
      let start = position
      position += 1
      while let byte = current, byte != quote { position += 1 }
      position = min(position + 1, bytes.count)
      return bytes[start..<position]
    }

    /// A comment with its end, or up to the end of the text.
    mutating func comment(endingWith end: String) -> ArraySlice<UInt8> {
      let start = position
      position += 2
      while position < bytes.count, !bytes[position...].starts(with: end.utf8) { position += 1 }
      position = min(position + end.utf8.count, bytes.count)
      return bytes[start..<position]
    }

    /// The digits of `$12`.
    mutating func parameter() throws -> ArraySlice<UInt8> {
      let start = position + 1
      position = start
      while let byte = current, byte.isDigit { position += 1 }
      guard position > start else { throw StorageError.sql("a $ without a number") }
      return bytes[start..<position]
    }

    mutating func word() -> ArraySlice<UInt8> {
      let start = position
      while let byte = current, byte.isWordStart || byte.isDigit || byte == UInt8(ascii: "$") { position += 1 }
      return bytes[start..<position]
    }
  }
}

extension UInt8 {
  fileprivate var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
  fileprivate var isWordStart: Bool {
    let lower = self | 0x20
    return (lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")) || self == UInt8(ascii: "_") || self >= 0x80
  }
}
