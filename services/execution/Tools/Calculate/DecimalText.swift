import BigInt
import Foundation

/// Numbers as digits.
enum DecimalText {
  /// Significant digits of a rounded exact number.
  static let exactDigits = 20
  /// Significant digits of an approximate number: what a Double can vouch for.
  static let approximateDigits = 15

  /// The exact decimal if the fraction ends and is not longer than `maximumDigits`; else nil.
  static func exact(_ value: Rational, maximumDigits: Int = 10_000) -> String? {
    var rest = value.denominator
    var twos = 0, fives = 0
    while rest % 2 == 0 { rest /= 2; twos += 1 }
    while rest % 5 == 0 { rest /= 5; fives += 1 }
    guard rest == 1 else { return nil }
    let places = max(twos, fives)
    let scaled = value.numerator * BigInt(10).power(places) / value.denominator
    let text = place(String(scaled.magnitude), places: places, negative: value.isNegative)
    return text.count <= maximumDigits ? text : nil
  }

  /// Rounded half away from zero to `digits` significant digits; scientific beyond 10^25 and below 10^-7.
  static func rounded(_ value: Rational, digits: Int = exactDigits) -> String {
    if value.isZero { return "0" }
    var exponent = decimalExponent(value)
    var scaled = scale(value.magnitude, by: digits - 1 - exponent)
    if scaled >= BigInt(10).power(digits) {
      exponent += 1
      scaled = scale(value.magnitude, by: digits - 1 - exponent)
    }
    return layout(String(scaled), exponent: exponent, negative: value.isNegative)
  }

  /// The shortest text of at most 15 significant digits.
  static func approximate(_ value: Double) -> String {
    if value == 0 { return "0" }
    let text = String(format: "%.\(approximateDigits - 1)e", abs(value))
    let parts = text.split(separator: "e")
    guard parts.count == 2, let exponent = Int(parts[1]) else { return text }
    return layout(parts[0].filter { $0 != "." }, exponent: exponent, negative: value < 0)
  }

  /// The repeating digits of a fraction, like `0.(3)` or `0.1(6)`; nil if there are more than 30.
  static func repeating(_ value: Rational) -> String? {
    let magnitude = value.magnitude
    var (whole, remainder) = magnitude.numerator.quotientAndRemainder(dividingBy: magnitude.denominator)
    var seen: [BigInt: Int] = [:]
    var digits = ""
    while !remainder.isZero, seen[remainder] == nil {
      guard digits.count <= 30 else { return nil }
      seen[remainder] = digits.count
      (whole, remainder) = (whole, remainder * 10)
      digits += String(remainder / magnitude.denominator)
      remainder %= magnitude.denominator
    }
    guard let start = seen[remainder] else { return nil }
    return (value.isNegative ? "-" : "") + "\(whole).\(digits.prefix(start))(\(digits.dropFirst(start)))"
  }

  /// The power of ten of the first digit, at most one too small.
  private static func decimalExponent(_ value: Rational) -> Int {
    let top = String(value.numerator.magnitude).count, bottom = String(value.denominator.magnitude).count
    let guess = top - bottom
    // value is in 10^(guess-1) … 10^(guess+1)
    let limit = BigInt(10).power(abs(guess))
    let magnitude = value.magnitude
    let reaches =
      guess >= 0
      ? magnitude.numerator >= magnitude.denominator * limit : magnitude.numerator * limit >= magnitude.denominator
    return reaches ? guess : guess - 1
  }

  /// value × 10^power, rounded half up.
  private static func scale(_ value: Rational, by power: Int) -> BigInt {
    let factor = BigInt(10).power(abs(power))
    let top = power >= 0 ? value.numerator * factor : value.numerator
    let bottom = power >= 0 ? value.denominator : value.denominator * factor
    return (top * 2 + bottom) / (bottom * 2)
  }

  private static func layout(_ digits: String, exponent: Int, negative: Bool) -> String {
    var kept = digits
    while kept.count > 1, kept.last == "0" { kept.removeLast() }
    let sign = negative ? "-" : ""
    if exponent >= 25 || exponent < -7 {
      let fraction = kept.dropFirst()
      return sign + String(kept.prefix(1)) + (fraction.isEmpty ? "" : "." + fraction) + "e\(exponent)"
    }
    if exponent >= kept.count - 1 { return sign + kept + String(repeating: "0", count: exponent + 1 - kept.count) }
    return place(kept, places: kept.count - 1 - exponent, negative: negative)
  }

  /// Puts the decimal point `places` digits from the right and drops trailing zeros.
  private static func place(_ digits: String, places: Int, negative: Bool) -> String {
    var text = digits
    if places > 0 {
      if text.count <= places { text = String(repeating: "0", count: places + 1 - text.count) + text }
      text.insert(".", at: text.index(text.endIndex, offsetBy: -places))
      while text.last == "0" { text.removeLast() }
      if text.last == "." { text.removeLast() }
    }
    return (negative ? "-" : "") + text
  }
}
