import Messages

/// Money in integer micro-units, written as `0.50 USD`. Never passes through a floating-point number.
enum MoneyText {
  /// Parses `0.50`, `12`, `$0.5`, `0.50 EUR` or `0.50EUR`. Nil for a negative amount, more than six decimals, a
  /// currency that is not three letters, or an amount beyond Int64's micros.
  static func parse(_ text: String, defaultCurrency: String = "USD") -> Money? {
    var rest = text[...]
    if rest.first == "$" { rest = rest.dropFirst() }
    let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let suffix = rest.dropFirst(number.count).drop { $0 == " " }
    guard suffix.isEmpty || (suffix.count == 3 && suffix.allSatisfy { $0.isASCII && $0.isLetter }) else { return nil }
    if text.first == "$", !suffix.isEmpty { return nil }
    guard let micros = micros(number) else { return nil }
    return Money(micros: micros, currency: suffix.isEmpty ? defaultCurrency : suffix.uppercased())
  }

  private static func micros(_ number: Substring) -> Int64? {
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count <= 2, let whole = parts.first, !whole.isEmpty, let units = Int64(whole) else { return nil }
    var fraction: Int64 = 0
    if parts.count == 2 {
      guard !parts[1].isEmpty, parts[1].count <= 6, let digits = Int64(parts[1]) else { return nil }
      fraction = (parts[1].count..<6).reduce(digits) { value, _ in value * 10 }
    }
    let (scaled, overflow) = units.multipliedReportingOverflow(by: 1_000_000)
    let (sum, carry) = scaled.addingReportingOverflow(fraction)
    return overflow || carry ? nil : sum
  }

  static func format(_ money: Money?) -> String { money?.display ?? "-" }
}
