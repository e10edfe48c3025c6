import Foundation

/// A number read from a cell: exact as coefficient × 10^-scale where it has at most 18 digits, else only a Double.
struct Numeric: Hashable, Sendable {
  let double: Double
  let coefficient: Int64
  /// Digits behind the decimal point, 0…18; −1 if only `double` holds.
  let scale: Int8

  var isExact: Bool { scale >= 0 }

  init(double: Double) {
    self.double = double
    coefficient = 0
    scale = -1
  }

  init(coefficient: Int64, scale: Int) {
    self.coefficient = coefficient
    self.scale = Int8(scale)
    double = scale == 0 ? Double(coefficient) : Self.divide(coefficient, scale)
  }

  /// Correctly rounded: both sides are exact doubles below 2^53 and 10^22, else the decimal text is parsed.
  private static func divide(_ coefficient: Int64, _ scale: Int) -> Double {
    if coefficient.magnitude < 1 << 53 { return Double(coefficient) / pow(10, Double(scale)) }
    return Double("\(coefficient)e-\(scale)") ?? Double(coefficient) / pow(10, Double(scale))
  }

  /// Plain digits, as short as exact allows.
  var text: String {
    isExact ? Self.text(Int128(coefficient), scale: Int(scale)) : Self.text(double)
  }

  static func text(_ coefficient: Int128, scale: Int) -> String {
    var digits = String(coefficient.magnitude)
    if scale > 0 {
      if digits.count <= scale { digits = String(repeating: "0", count: scale + 1 - digits.count) + digits }
      digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -scale))
      while digits.last == "0" { digits.removeLast() }
      if digits.last == "." { digits.removeLast() }
    }
    return (coefficient < 0 && digits != "0" ? "-" : "") + digits
  }

  /// 12 significant digits: what is left of a double after a million additions.
  static func text(_ value: Double) -> String {
    guard value.isFinite else { return "" }
    let text = String(format: "%.12g", value)
    return text == "-0" ? "0" : text
  }
}

/// How numbers are written in a column.
enum NumberStyle: Sendable, Hashable {
  /// `1,234.56`
  case decimalPoint
  /// `1.234,56`
  case decimalComma
}

/// Reads numbers as people write them: signs, currency, thousands separators, percent, accountants' parentheses.
enum NumberText {
  static func parse(_ text: String, style: NumberStyle = .decimalPoint) -> Numeric? {
    let bytes = Array(text.utf8)
    return parse(bytes, 0..<bytes.count, style: style)
  }

  static func parse(_ bytes: [UInt8], _ range: Range<Int>, style: NumberStyle) -> Numeric? {
    var start = range.lowerBound, end = range.upperBound
    var negative = false
    if end - start > 2, bytes[start] == UInt8(ascii: "("), bytes[end - 1] == UInt8(ascii: ")") {
      (negative, start, end) = (true, start + 1, end - 1)
    }
    stripSign(bytes, &start, end, &negative)
    // "-$5" and "$-5", but one sign only.
    let signed = start
    stripCurrency(bytes, &start, &end)
    if start > signed, signed == range.lowerBound { stripSign(bytes, &start, end, &negative) }
    if end > start, bytes[end - 1] == UInt8(ascii: "%") {
      end -= 1
      while end > start, bytes[end - 1] == 0x20 { end -= 1 }
    }
    guard start < end else { return nil }
    return digits(bytes, start, end, style: style, negative: negative)
  }

  private static func digits(_ bytes: [UInt8], _ start: Int, _ end: Int, style: NumberStyle, negative: Bool) -> Numeric?
  {
    let point = style == .decimalPoint ? UInt8(ascii: ".") : UInt8(ascii: ",")
    let thousands = style == .decimalPoint ? UInt8(ascii: ",") : UInt8(ascii: ".")
    var coefficient: Int64 = 0, digitCount = 0, scale = 0
    var group = 0, grouped = false, fraction = false, overflow = false
    var index = start
    while index < end {
      let byte = bytes[index]
      if byte >= 0x30, byte <= 0x39 {
        let (product, tooBig) = coefficient.multipliedReportingOverflow(by: 10)
        let (sum, tooBigSum) = product.addingReportingOverflow(Int64(byte - 0x30))
        if tooBig || tooBigSum { overflow = true } else if !overflow { coefficient = sum }
        digitCount += 1
        if fraction { scale += 1 } else { group += 1 }
        index += 1
      } else if byte == point, !fraction {
        if grouped, group != 3 { return nil }
        fraction = true
        index += 1
      } else if !fraction, let width = separator(bytes, index, end, thousands) {
        guard group >= 1, grouped ? group == 3 : group <= 3 else { return nil }
        (grouped, group) = (true, 0)
        index += width
      } else if byte | 0x20 == UInt8(ascii: "e"), digitCount > 0, !grouped {
        return exponential(bytes, start, end, point, negative)
      } else {
        return nil
      }
    }
    guard digitCount > 0, !grouped || fraction || group == 3 else { return nil }
    if overflow || scale > 18 { return exponential(bytes, start, end, point, negative) }
    return Numeric(coefficient: negative ? -coefficient : coefficient, scale: scale)
  }

  /// Bytes of a thousands separator: the style's own, an apostrophe, a (narrow) no-break or plain space before a digit.
  private static func separator(_ bytes: [UInt8], _ index: Int, _ end: Int, _ thousands: UInt8) -> Int? {
    let byte = bytes[index]
    var width = 0
    if byte == thousands || byte == UInt8(ascii: "'") || byte == 0x20 { width = 1 }
    if byte == 0xC2, index + 1 < end, bytes[index + 1] == 0xA0 { width = 2 }
    if byte == 0xE2, index + 2 < end, bytes[index + 1] == 0x80, bytes[index + 2] == 0xAF { width = 3 }
    guard width > 0, index + width < end, (0x30...0x39).contains(bytes[index + width]) else { return nil }
    return width
  }

  /// `1.5e-3` and numbers of more than 18 digits, by the C library.
  private static func exponential(_ bytes: [UInt8], _ start: Int, _ end: Int, _ point: UInt8, _ negative: Bool)
    -> Numeric?
  {
    let text = String(
      decoding: bytes[start..<end].compactMap { byte -> UInt8? in
        byte == point ? UInt8(ascii: ".") : byte == UInt8(ascii: ",") || byte == UInt8(ascii: ".") ? nil : byte
      }, as: UTF8.self)
    guard text.count <= 400, let value = Double(text), value.isFinite else { return nil }
    return Numeric(double: negative ? -value : value)
  }

  private static func stripSign(_ bytes: [UInt8], _ start: inout Int, _ end: Int, _ negative: inout Bool) {
    guard start < end else { return }
    if bytes[start] == UInt8(ascii: "-") {
      negative.toggle()
      start += 1
    } else if bytes[start] == UInt8(ascii: "+") {
      start += 1
    } else if end - start > 3, bytes[start] == 0xE2, bytes[start + 1] == 0x88, bytes[start + 2] == 0x92 {
      negative.toggle()  // U+2212 minus sign
      start += 3
    }
  }

  private static let currencies: [[UInt8]] = ["$", "€", "£", "¥", "US$", "USD", "EUR", "GBP", "CHF"].map {
    Array($0.utf8)
  }

  private static func stripCurrency(_ bytes: [UInt8], _ start: inout Int, _ end: inout Int) {
    guard start < end, bytes[start] > 0x39 || bytes[start] < 0x30 || bytes[end - 1] > 0x39 || bytes[end - 1] < 0x30
    else {
      return
    }
    for currency in currencies where end - start > currency.count {
      if bytes[start..<end].starts(with: currency) {
        start += currency.count
        while start < end, bytes[start] == 0x20 { start += 1 }
        return
      }
      if bytes[(end - currency.count)..<end].elementsEqual(currency) {
        end -= currency.count
        while end > start, bytes[end - 1] == 0x20 { end -= 1 }
        return
      }
    }
  }
}
