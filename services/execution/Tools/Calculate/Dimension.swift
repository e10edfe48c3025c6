/// The kind of a quantity as powers of base units (`["m": 1, "s": -2]`); empty for plain numbers.
struct Dimension: Hashable, Sendable {
  /// Never holds a zero.
  private(set) var powers: [String: Int]

  init(_ powers: [String: Int] = [:]) { self.powers = powers.filter { $0.value != 0 } }

  static let none = Dimension()
  var isNone: Bool { powers.isEmpty }

  static func * (a: Dimension, b: Dimension) -> Dimension {
    Dimension(a.powers.merging(b.powers, uniquingKeysWith: +))
  }

  static func / (a: Dimension, b: Dimension) -> Dimension { a * b.power(-1) }

  func power(_ exponent: Int) -> Dimension { Dimension(powers.mapValues { $0 * exponent }) }

  /// Nil if a power does not divide evenly.
  func root(_ degree: Int) -> Dimension? {
    powers.values.allSatisfy { $0 % degree == 0 } ? Dimension(powers.mapValues { $0 / degree }) : nil
  }

  /// What a person calls it.
  var name: String {
    if isNone { return "a plain number" }
    if let name = Self.names[self] { return name }
    return "a quantity in " + UnitText.render(powers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }

  private static let names: [Dimension: String] = [
    Dimension(["m": 1]): "a length", Dimension(["kg": 1]): "a mass", Dimension(["s": 1]): "a time",
    Dimension(["K": 1]): "a temperature", Dimension(["bit": 1]): "an amount of data", Dimension(["A": 1]): "a current",
    Dimension(["m": 2]): "an area", Dimension(["m": 3]): "a volume", Dimension(["m": 1, "s": -1]): "a speed",
    Dimension(["m": 1, "s": -2]): "an acceleration", Dimension(["kg": 1, "m": 1, "s": -2]): "a force",
    Dimension(["kg": 1, "m": 2, "s": -2]): "an energy", Dimension(["kg": 1, "m": 2, "s": -3]): "a power",
    Dimension(["kg": 1, "m": -1, "s": -2]): "a pressure", Dimension(["s": -1]): "a frequency",
    Dimension(["bit": 1, "s": -1]): "a data rate", Dimension(["USD": 1]): "an amount of USD",
    Dimension(["EUR": 1]): "an amount of EUR", Dimension(["GBP": 1]): "an amount of GBP",
  ]
}

enum UnitText {
  /// `km`, `m/s²`, `kg·m²/s²`, `1/s`.
  static func render(_ powers: [(String, Int)]) -> String {
    let top = powers.filter { $0.1 > 0 }.map { $0.0 + superscript($0.1) }.joined(separator: "·")
    let below = powers.filter { $0.1 < 0 }.map { $0.0 + superscript(-$0.1) }
    if below.isEmpty { return top }
    let bottom = below.count > 1 ? "(" + below.joined(separator: "·") + ")" : below[0]
    return (top.isEmpty ? "1" : top) + "/" + bottom
  }

  private static func superscript(_ value: Int) -> String {
    let digits = Array("⁰¹²³⁴⁵⁶⁷⁸⁹")
    return value == 1 ? "" : String(String(value).compactMap { $0.wholeNumberValue.map { digits[$0] } })
  }
}
