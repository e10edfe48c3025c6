/// The decoded query of a request. A name may occur several times; values are UTF-8.
struct Query: Sendable {
  private var items: [(name: String, value: String)] = []

  /// - Throws: `GatewayError` 400 if a percent escape is cut, not hexadecimal, or not UTF-8, and for NUL, which
  ///   messages cannot carry.
  init(_ text: String?) throws {
    for pair in (text ?? "").split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = percentDecoded(parts[0], plusIsSpace: true),
        let value = percentDecoded(parts.count > 1 ? parts[1] : "", plusIsSpace: true)
      else { throw GatewayError.badRequest("The query has an invalid percent escape in \"\(pair)\".") }
      guard !value.unicodeScalars.contains("\0") else {
        throw GatewayError.badRequest("The query has a NUL character in \"\(name.prefix(40))\".")
      }
      items.append((name, value))
    }
  }

  /// The names that are not among `known`, each once, in the query's order.
  func names(except known: [String]) -> [String] {
    items.map(\.name).reduce(into: []) { unknown, name in
      if !known.contains(name), !unknown.contains(name) { unknown.append(name) }
    }
  }

  /// The first value of `name`; nil if it is absent or empty.
  func text(_ name: String) -> String? {
    items.first { $0.name == name && !$0.value.isEmpty }?.value
  }

  /// Every value of `name` that is not empty, as it is.
  func texts(_ name: String) -> [String] {
    items.filter { $0.name == name && !$0.value.isEmpty }.map(\.value)
  }

  /// `true` or `false`; absent and empty are false.
  /// - Throws: `GatewayError` 400 if it is anything else.
  func flag(_ name: String) throws -> Bool {
    switch text(name) {
    case nil, "false": false
    case "true": true
    case .some(let text):
      throw GatewayError.badRequest("\(name) must be true or false, not \"\(text.prefix(40))\".")
    }
  }

  /// Every value of `name`; one occurrence may hold several, separated by commas.
  func list(_ name: String) -> [String] {
    items.filter { $0.name == name }.flatMap { $0.value.split(separator: ",").map(String.init) }
  }

  /// A whole number in `range`; nil if `name` is absent or empty.
  /// - Throws: `GatewayError` 400 if it is anything else.
  func integer<Number: FixedWidthInteger & Sendable>(_ name: String, in range: ClosedRange<Number>) throws -> Number? {
    guard let text = text(name) else { return nil }
    return try wholeNumber(text, named: name, in: range)
  }
}

/// - Throws: `GatewayError` 400, naming the parameter and its range.
func wholeNumber<Number: FixedWidthInteger & Sendable>(
  _ text: String, named name: String, in range: ClosedRange<Number>
) throws -> Number {
  // `Number("+1")` is 1, but a plus sign in a number is more likely a mistake.
  guard text.utf8.first != UInt8(ascii: "+"), let number = Number(text), range.contains(number) else {
    throw GatewayError.badRequest(
      "\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), not \"\(text.prefix(40))\".")
  }
  return number
}

/// What `text` stands for (RFC 3986 §2.1); nil if an escape is malformed or the result is not UTF-8.
/// - Parameter plusIsSpace: true in a query, where forms write a space as a plus sign.
func percentDecoded(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(text.utf8.count)
  var rest = text.utf8.makeIterator()
  while let byte = rest.next() {
    switch byte {
    case UInt8(ascii: "%"):
      guard let high = rest.next().flatMap(hexadecimalDigit), let low = rest.next().flatMap(hexadecimalDigit) else {
        return nil
      }
      bytes.append(high << 4 | low)
    case UInt8(ascii: "+") where plusIsSpace:
      bytes.append(UInt8(ascii: " "))
    default:
      bytes.append(byte)
    }
  }
  return String(validating: bytes, as: UTF8.self)
}

extension String {
  /// True if an ASCII control character (C0 or DEL) is inside.
  var hasControlCharacters: Bool { utf8.contains { $0 < 0x20 || $0 == 0x7F } }
}

/// `text` with every byte but letters, digits, `-`, `.` and `_` escaped: fit for a path segment and for RFC 8187.
func percentEncoded(_ text: String) -> String {
  let digits = Array("0123456789ABCDEF".utf8)
  var bytes: [UInt8] = []
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
      bytes.append(byte)
    default:
      bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}

private func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
  case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
  case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
  default: nil
  }
}
