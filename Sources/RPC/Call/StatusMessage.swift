import HTTP2

/// `grpc-message` is percent-encoded UTF-8: everything but printable ASCII, and `%` itself.
package enum StatusMessage {
  /// What is sent of a message and the metadata beside it, encoded, in bytes; the rest of the message is cut off.
  /// Callers take little more: with longer headers they would get no status at all.
  package static let maximumBytes = 8 * 1024

  /// What of a message goes out whatever is beside it.
  package static let minimumBytes = 1024

  /// How much of a message is sent beside this metadata, encoded, in bytes.
  package static func room(beside metadata: Metadata) -> Int {
    let taken = metadata.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    return max(minimumBytes, maximumBytes - taken)
  }

  package static func encode(_ message: String, limit: Int = maximumBytes) -> String {
    if message.utf8.allSatisfy(isPlain) {
      return message.utf8.count <= limit ? message : String(message.unicodeScalars.prefix(limit))
    }
    let digits = Array("0123456789ABCDEF".utf8)
    var result: [UInt8] = []
    for character in message.unicodeScalars {
      let length = result.count
      for byte in UTF8.encode(character) ?? UTF8.encodedReplacementCharacter {
        if isPlain(byte) {
          result.append(byte)
        } else {
          result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
      }
      guard result.count > limit else { continue }
      result.removeSubrange(length...)
      break
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Takes what is not an escape as it stands: a peer's odd message must not hide its status.
  package static func decode(_ text: String) -> String {
    let bytes = Array(text.utf8)
    guard bytes.contains(UInt8(ascii: "%")) else { return text }
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = nibble(bytes[index + 1]),
        let low = nibble(bytes[index + 2])
      {
        result.append(high << 4 | low)
        index += 3
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func isPlain(_ byte: UInt8) -> Bool { byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") }

  private static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

extension HeaderBlock {
  /// The trailers that end a call.
  static func trailers(_ status: Status) -> HeaderBlock {
    status == .ok ? okTrailers : HeaderBlock().ending(with: status)
  }

  private static let okTrailers: HeaderBlock = ["grpc-status": "0"]

  /// These headers with the status and its metadata behind them.
  func ending(with status: Status) -> HeaderBlock {
    if let problem = status.metadata.problem {
      return appending(Status(.internalError, "trailing metadata cannot be sent: \(problem)"))
    }
    let block = appending(status)
    guard block.boundOnWire > Self.maximumBytes else { return block }
    return appending(Status(.resourceExhausted, "trailing metadata cannot be sent: it is over 64 KiB"))
  }

  private func appending(_ status: Status) -> HeaderBlock {
    var block = self
    block.append("grpc-status", String(status.code.rawValue))
    if !status.message.isEmpty {
      let room = StatusMessage.room(beside: status.metadata)
      block.append("grpc-message", StatusMessage.encode(status.message, limit: room))
    }
    block.append(status.metadata)
    return block
  }
}
