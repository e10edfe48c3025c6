/// Base64 for `-bin` metadata (RFC 4648 §4): written without padding, read with or without.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 0xFF, count: 256)
    for (value, character) in alphabet.enumerated() { table[Int(character)] = UInt8(value) }
    return table
  }()

  static func encode(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count * 4 + 2) / 3)
    var bits: UInt32 = 0
    var count = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      count += 8
      while count >= 6 {
        count -= 6
        result.append(alphabet[Int(bits >> UInt32(count) & 63)])
      }
    }
    if count > 0 { result.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
    return String(decoding: result, as: UTF8.self)
  }

  /// Nil if it is not base64.
  package static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count * 3 / 4)
    var bits: UInt32 = 0
    var count = 0
    var length = 0
    var padding = 0
    for character in text {
      if character == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      let value = values[Int(character)]
      guard value != 0xFF, padding == 0 else { return nil }
      length += 1
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return isWhole(length, padding) ? result : nil
  }

  /// - Parameters:
  ///   - length: In characters, without the padding.
  ///   - padding: How many `=` there are.
  private static func isWhole(_ length: Int, _ padding: Int) -> Bool {
    length % 4 != 1 && padding <= 2 && (padding == 0 || (length + padding) % 4 == 0)
  }

  /// Whether `decode` takes each of the pieces between commas, without the spaces around them. In one pass and without
  /// memory: a peer says in few bytes that a long value comes again (RFC 7541 §6.1), and may have commas for all of it.
  static func isList(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    values.withUnsafeBufferPointer { values in
      var length = 0
      var padding = 0
      var isBehind = false  // a space came after the piece's first character
      for character in text {
        if character == UInt8(ascii: ",") {
          guard isWhole(length, padding) else { return false }
          (length, padding, isBehind) = (0, 0, false)
        } else if character == UInt8(ascii: " ") {
          isBehind = length > 0 || padding > 0
        } else if isBehind {
          return false
        } else if character == UInt8(ascii: "=") {
          padding += 1
        } else {
          guard values[Int(character)] != 0xFF, padding == 0 else { return false }
          length += 1
        }
      }
      return isWhole(length, padding)
    }
  }
}
