/// Numbers of RFC 8259 by their text: exact integers, however they are written.
enum JSONNumber {
  static func isPart(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "e"), UInt8(ascii: "E"):
      true
    default: false
    }
  }

  static func isValid(_ text: String) -> Bool { Parts(text) != nil }

  /// The value if it is a whole number of the type's range: "12", "1.0" and "1.2e1" are, "1.5" is not.
  static func integer<T: FixedWidthInteger>(_ text: String, as type: T.Type) -> T? {
    guard let parts = Parts(text) else { return nil }
    var digits = parts.whole + parts.fraction
    var exponent = parts.exponent - parts.fraction.count
    while exponent < 0, digits.last == "0" {
      digits.removeLast()
      exponent += 1
    }
    let significant = digits.drop { $0 == "0" }
    if significant.isEmpty { return 0 }
    guard exponent >= 0, exponent + significant.count <= 20 else { return nil }
    return T((parts.isNegative ? "-" : "") + significant + String(repeating: "0", count: exponent))
  }

  /// Nil if it is no number or too large for the type.
  static func floating<T: BinaryFloatingPoint & LosslessStringConvertible>(_ text: String, as type: T.Type) -> T? {
    guard isValid(text), let value = T(text), value.isFinite else { return nil }
    return value
  }

  /// number = [ "-" ] int [ frac ] [ exp ]
  private struct Parts {
    var isNegative = false
    var whole = ""
    var fraction = ""
    var exponent = 0

    init?(_ text: String) {
      var rest = Substring(text)
      isNegative = rest.first == "-"
      if isNegative { rest.removeFirst() }
      whole = Self.digits(&rest)
      guard !whole.isEmpty, whole == "0" || whole.first != "0" else { return nil }
      if rest.first == "." {
        rest.removeFirst()
        fraction = Self.digits(&rest)
        guard !fraction.isEmpty else { return nil }
      }
      if rest.first == "e" || rest.first == "E" {
        rest.removeFirst()
        let isDown = rest.first == "-"
        if isDown || rest.first == "+" { rest.removeFirst() }
        let digits = Self.digits(&rest)
        guard !digits.isEmpty else { return nil }
        // Beyond a million the number of zeros makes no difference to any type.
        exponent = min(Int(digits) ?? 1_000_000, 1_000_000) * (isDown ? -1 : 1)
      }
      guard rest.isEmpty else { return nil }
    }

    private static func digits(_ rest: inout Substring) -> String {
      let digits = rest.prefix { ("0"..."9").contains($0) && $0.isASCII }
      rest.removeFirst(digits.count)
      return String(digits)
    }
  }
}
