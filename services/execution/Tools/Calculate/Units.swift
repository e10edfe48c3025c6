/// A unit of measure: `value in base units = value × factor + offset`.
struct MeasureUnit: Hashable, Sendable {
  /// As printed: `km`, `°F`.
  let symbol: String
  let dimension: Dimension
  let factor: Number
  /// Only for °C and °F: their zero in kelvins.
  let offset: Rational?
  /// Said in the result where the unit has more than one meaning.
  let note: String?
}

/// The units that `calculate` knows. Factors are exact by definition, except π in degrees.
struct UnitTable: Sendable {
  static let standard = UnitTable()

  private var bySymbol: [String: MeasureUnit] = [:]
  private var byLowercase: [String: Set<String>] = [:]

  /// Every name a unit can be written as.
  var names: [String] { Array(bySymbol.keys) }

  /// By exact spelling, else without regard to case where that is unambiguous (`KM`, `Miles`); nil if unknown.
  func unit(_ name: String) -> MeasureUnit? {
    if let unit = bySymbol[name] { return unit }
    let spellings = byLowercase[name.lowercased()] ?? []
    let units = Set(spellings.compactMap { bySymbol[$0] })
    return units.count == 1 ? units.first : nil
  }

  /// Names that differ only in case, where `unit` could not choose (`mb`: `MB`, `Mb`).
  func spellings(of name: String) -> [String] { (byLowercase[name.lowercased()] ?? []).sorted() }

  private init() {
    for line in Self.definitions.split(separator: "\n") { define(line) }
    let degree = MeasureUnit(
      symbol: "°", dimension: .none, factor: .approximate(.pi / 180), offset: nil, note: nil)
    for name in ["°", "deg", "degree", "degrees"] { add(name, degree) }
  }

  /// One line of the table: `names separated by spaces = factor | powers [| p = with SI prefixes] [| note]`.
  private mutating func define(_ line: Substring) {
    let sides = line.split(separator: "=", maxSplits: 1).map { String($0).trimmedWhitespace }
    guard sides.count == 2 else { return }
    let fields = sides[1].split(separator: "|", omittingEmptySubsequences: false).map { String($0).trimmedWhitespace }
    let names = sides[0].split(separator: " ").map(String.init)
    let factorText = fields[0].split(separator: "+").map { String($0).trimmedWhitespace }
    guard let factor = Self.fraction(factorText[0]), let symbol = names.first else { return }
    let powers = (fields.count > 1 ? fields[1] : "").split(separator: " ").compactMap { Self.power($0) }
    let offset = factorText.count > 1 ? Self.fraction(factorText[1]) : nil
    let note = fields.count > 3 ? fields[3] : nil
    let dimension = Dimension(Dictionary(uniqueKeysWithValues: powers))
    let unit = MeasureUnit(symbol: symbol, dimension: dimension, factor: .exact(factor), offset: offset, note: note)
    for name in names { add(name, unit) }
    guard fields.count > 2, !fields[2].isEmpty else { return }
    // Nobody means a thousandth of a bit: data takes only the large prefixes, and the binary ones.
    let isData = fields[2].contains("i")
    for prefix in isData ? Self.binaryPrefixes + Self.prefixes.prefix(6) : Self.prefixes {
      addPrefixed(names, unit, prefix, factor)
    }
  }

  private mutating func addPrefixed(
    _ names: [String], _ unit: MeasureUnit, _ prefix: (symbol: String, name: String, text: String), _ factor: Rational
  ) {
    guard let scale = Self.fraction(prefix.text), let scaled = try? scale * factor else { return }
    let symbol = prefix.symbol + unit.symbol
    let made = MeasureUnit(
      symbol: symbol, dimension: unit.dimension, factor: .exact(scaled), offset: nil, note: unit.note)
    for name in names {
      add(prefix.symbol + name, made)
      add(prefix.name + name, made)
      if prefix.symbol == "µ" { add("u" + name, made) }
    }
  }

  private mutating func add(_ name: String, _ unit: MeasureUnit) {
    guard bySymbol[name] == nil else { return }
    bySymbol[name] = unit
    byLowercase[name.lowercased(), default: []].insert(name)
  }

  private static func power(_ text: Substring) -> (String, Int)? {
    let parts = text.split(separator: "^")
    return parts.first.map { (String($0), parts.count > 1 ? Int(parts[1]) ?? 1 : 1) }
  }

  private static func fraction(_ text: String) -> Rational? {
    let parts = text.split(separator: "/").map { String($0).trimmedWhitespace }
    guard let first = parts.first, let top = (try? Rational(decimal: first)) ?? nil else { return nil }
    guard parts.count == 2 else { return top }
    guard let bottom = (try? Rational(decimal: parts[1])) ?? nil else { return nil }
    return try? top / bottom
  }

  private static let prefixes: [(symbol: String, name: String, text: String)] = [
    ("k", "kilo", "1e3"), ("M", "mega", "1e6"), ("G", "giga", "1e9"), ("T", "tera", "1e12"), ("P", "peta", "1e15"),
    ("E", "exa", "1e18"), ("h", "hecto", "100"), ("d", "deci", "0.1"), ("c", "centi", "0.01"), ("m", "milli", "1e-3"),
    ("µ", "micro", "1e-6"), ("n", "nano", "1e-9"), ("p", "pico", "1e-12"), ("f", "femto", "1e-15"),
  ]
  private static let binaryPrefixes: [(symbol: String, name: String, text: String)] = [
    ("Ki", "kibi", "1024"), ("Mi", "mebi", "1048576"), ("Gi", "gibi", "1073741824"), ("Ti", "tebi", "1099511627776"),
    ("Pi", "pebi", "1125899906842624"),
  ]
}
