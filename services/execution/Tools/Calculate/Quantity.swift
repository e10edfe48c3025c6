/// A number with its dimension and the units it is shown in.
struct Quantity: Hashable, Sendable {
  struct UnitPower: Hashable, Sendable {
    let unit: MeasureUnit
    var power: Int
  }

  /// In base units (m, kg, s, K, bit …).
  let number: Number
  let dimension: Dimension
  /// What it is shown in; empty for plain numbers.
  var display: [UnitPower] = []
  /// A temperature on a scale (20 °C), not a difference of temperatures.
  var isPoint = false

  init(_ number: Number, _ dimension: Dimension = .none, display: [UnitPower] = [], isPoint: Bool = false) {
    self.number = number
    self.dimension = dimension
    self.display = display
    self.isPoint = isPoint
  }

  init(unit: MeasureUnit) {
    self.init(unit.factor, unit.dimension, display: unit.dimension.isNone ? [] : [UnitPower(unit: unit, power: 1)])
  }

  /// The value in the shown units.
  func shown() throws -> Number {
    if isPoint, let unit = display.first?.unit {
      return try (number - .exact(unit.offset ?? .zero)) / unit.factor
    }
    return try display.reduce(number) { try $0 / $1.unit.factor.power(.int($1.power)) }
  }

  var unitText: String { UnitText.render(display.map { ($0.unit.symbol, $0.power) }) }

  /// Every note of its units, once.
  var notes: [String] {
    var seen: [String] = []
    for note in display.compactMap(\.unit.note) where !seen.contains(note) { seen.append(note) }
    return seen
  }

  func adding(_ other: Quantity, sign: Int, verb: String) throws -> Quantity {
    try same(other, verb: verb)
    let sum = try sign > 0 ? number + other.number : number - other.number
    switch (isPoint, other.isPoint) {
    case (true, true) where sign > 0:
      throw CalculationError.mismatch(
        "Two temperatures on a scale cannot be added; write the difference in kelvins, like 20 °C + 5 K.")
    case (true, true): return Quantity(sum, dimension, display: Self.baseDisplay(dimension))
    case (false, true) where sign < 0:
      throw CalculationError.mismatch("A temperature on a scale cannot be taken from a difference of temperatures.")
    case (true, false): return Quantity(sum, dimension, display: display, isPoint: true)
    case (false, true): return Quantity(sum, dimension, display: other.display, isPoint: true)
    default: return Quantity(sum, dimension, display: display.isEmpty ? other.display : display)
    }
  }

  func multiplied(by other: Quantity) throws -> Quantity {
    try notPoint()
    try other.notPoint()
    return Quantity(
      try number * other.number, dimension * other.dimension, display: Self.merge(display, other.display, sign: 1)
    ).simplified
  }

  func divided(by other: Quantity) throws -> Quantity {
    try notPoint()
    try other.notPoint()
    return Quantity(
      try number / other.number, dimension / other.dimension, display: Self.merge(display, other.display, sign: -1)
    ).simplified
  }

  func raised(to exponent: Quantity) throws -> Quantity {
    try notPoint()
    guard exponent.dimension.isNone else {
      throw CalculationError.mismatch("An exponent must be a plain number, not \(exponent.dimension.name).")
    }
    if dimension.isNone { return Quantity(try number.power(exponent.number)) }
    guard case .exact(let power) = exponent.number else {
      throw CalculationError.mismatch("\(dimension.name.capitalizedFirst) cannot be raised to an irrational power.")
    }
    guard let degree = Int(exactly: power.denominator), let times = Int(exactly: power.numerator), abs(times) <= 100,
      let root = dimension.root(degree)
    else {
      throw CalculationError.mismatch(
        "\(dimension.name.capitalizedFirst) cannot be raised to the power \(power.double).")
    }
    let halved =
      display.allSatisfy { $0.power % degree == 0 }
      ? display.map { UnitPower(unit: $0.unit, power: $0.power / degree * times) }
      : Self.baseDisplay(root.power(times))
    return Quantity(try number.power(exponent.number), root.power(times), display: halved).simplified
  }

  /// The same quantity shown in other units. Throws `UNIT_MISMATCH`.
  func converted(to target: Quantity, units: [UnitPower]) throws -> Quantity {
    guard dimension == target.dimension else {
      let target = "\(UnitText.render(units.map { ($0.unit.symbol, $0.power) })), which is \(target.dimension.name)"
      throw CalculationError.mismatch("\(dimension.name.capitalizedFirst) cannot be converted to \(target).")
    }
    let single = units.count == 1 && units[0].power == 1 ? units[0].unit : nil
    // Kelvins convert to °C and °F as temperatures on a scale, unless they came out of a subtraction.
    let point = isPoint || (single?.offset != nil && display.allSatisfy { $0.unit.symbol == "K" })
    return Quantity(number, dimension, display: units, isPoint: point && single != nil)
  }

  func same(_ other: Quantity, verb: String) throws {
    guard dimension == other.dimension else {
      throw CalculationError.mismatch(
        "\(dimension.name.capitalizedFirst) and \(other.dimension.name) cannot be \(verb).")
    }
  }

  func notPoint() throws {
    guard !isPoint else {
      throw CalculationError.mismatch(
        "A temperature in \(unitText) cannot be multiplied, divided or raised to a power; convert it to K first.")
    }
  }

  private var simplified: Quantity {
    if dimension.isNone { return Quantity(number) }
    return display.isEmpty ? Quantity(number, dimension, display: Self.baseDisplay(dimension)) : self
  }

  /// A unit of the same dimension takes the other's power, so that 5 m × 3 ft is shown in m² and km ÷ m vanishes.
  private static func merge(_ a: [UnitPower], _ b: [UnitPower], sign: Int) -> [UnitPower] {
    var out = a
    for item in b {
      if let index = out.firstIndex(where: { $0.unit.dimension == item.unit.dimension }) {
        out[index].power += sign * item.power
      } else {
        out.append(UnitPower(unit: item.unit, power: sign * item.power))
      }
    }
    return out.filter { $0.power != 0 }
  }

  static func baseDisplay(_ dimension: Dimension) -> [UnitPower] {
    dimension.powers.sorted { ($0.value < 0 ? 1 : 0, $0.key) < ($1.value < 0 ? 1 : 0, $1.key) }.compactMap {
      name, power in
      UnitTable.standard.unit(name).map { UnitPower(unit: $0, power: power) }
    }
  }
}

extension String {
  var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
