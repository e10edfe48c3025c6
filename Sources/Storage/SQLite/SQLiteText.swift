/// Buddy's SQL as SQLite takes it.
enum SQLiteText {
  /// Turns `$1` into `?1`: to SQLite `$1` is a name, numbered by where it first stands. Texts, quoted names and
  /// comments are left alone. Throws ``StorageError/sql(_:)`` for what ``SQLText`` refuses.
  static func translate(_ sql: String) throws -> String {
    var result: [UInt8] = []
    try SQLText.read(sql) { token in
      switch token {
      case .word(let bytes), .opaque(let bytes): result += bytes
      case .parameter(let digits): result += Array("?".utf8) + digits
      case .other(let byte): result.append(byte)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
