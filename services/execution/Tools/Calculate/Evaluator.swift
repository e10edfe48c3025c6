/// Computes an expression. `check` is called often and throws when the call was cancelled.
struct Evaluator {
  let units: UnitTable
  let check: () throws -> Void

  init(units: UnitTable = .standard, check: @escaping () throws -> Void = {}) {
    self.units = units
    self.check = check
  }

  func evaluate(_ expression: Expression) throws -> Quantity {
    try check()
    switch expression {
    case .number(let value): return Quantity(.exact(value))
    case .name(let name, let position): return try named(name, position)
    case .negate(let inner):
      let value = try evaluate(inner)
      // "-40 °F" is read as -(40 °F) by precedence, but means the point 40 degrees below zero.
      if value.isPoint, case .binary(.juxtapose, let number, let unit) = inner {
        return try evaluate(.binary(.juxtapose, .negate(number), unit))
      }
      try value.notPoint()
      return Quantity(-value.number, value.dimension, display: value.display)
    case .percent(let inner): return try evaluate(inner).divided(by: Quantity(.int(100)))
    case .factorial(let inner): return try Functions.factorial(try evaluate(inner), check: check)
    case .binary(let kind, let left, let right): return try binary(kind, left, right)
    case .call(let name, let arguments, _):
      return try Functions.call(name, try arguments.map(evaluate), check: check)
    case .convert(let value, let target):
      let target = try unitQuantity(target)
      return try evaluate(value).converted(to: target.quantity, units: target.units)
    }
  }

  private func binary(_ kind: Expression.Operator, _ left: Expression, _ right: Expression) throws -> Quantity {
    if kind == .juxtapose, let point = try temperaturePoint(left, right) { return point }
    let a = try evaluate(left)
    // "200 + 10%" means ten percent of the 200, as on every pocket calculator.
    if case .percent = right, kind == .add || kind == .subtract, !Self.isPercent(left) {
      let share = try a.multiplied(by: try evaluate(right))
      return try a.adding(share, sign: kind == .add ? 1 : -1, verb: "added")
    }
    let b = try evaluate(right)
    switch kind {
    case .add: return try a.adding(b, sign: 1, verb: "added")
    case .subtract: return try a.adding(b, sign: -1, verb: "subtracted")
    case .multiply, .of, .juxtapose: return try a.multiplied(by: b)
    case .divide: return try a.divided(by: b)
    case .power: return try a.raised(to: b)
    case .modulo: return try modulo(a, b)
    }
  }

  private static func isPercent(_ expression: Expression) -> Bool {
    switch expression {
    case .percent: true
    case .binary(let kind, let left, let right):
      (kind == .add || kind == .subtract) && isPercent(left) && isPercent(right)
    default: false
    }
  }

  /// A number right before °C or °F is a point on that scale.
  private func temperaturePoint(_ left: Expression, _ right: Expression) throws -> Quantity? {
    guard case .name(let name, _) = right, let unit = units.unit(name), let offset = unit.offset else { return nil }
    let value = try evaluate(left)
    guard value.dimension.isNone else { return nil }
    let kelvins = try value.number * unit.factor + .exact(offset)
    return Quantity(kelvins, unit.dimension, display: [.init(unit: unit, power: 1)], isPoint: true)
  }

  /// The remainder with the divisor's sign, as in mathematics.
  private func modulo(_ a: Quantity, _ b: Quantity) throws -> Quantity {
    try a.same(b, verb: "divided with remainder")
    if b.number.isZero { throw CalculationError.divisionByZero }
    guard case .exact(let x) = a.number, case .exact(let y) = b.number else {
      let remainder = a.number.double - b.number.double * (a.number.double / b.number.double).rounded(.down)
      return Quantity(try .checked(remainder), a.dimension, display: a.display)
    }
    let whole = try (x / y).floor
    return Quantity(.exact(try x - y * whole), a.dimension, display: a.display)
  }

  private func named(_ name: String, _ position: Int) throws -> Quantity {
    switch name.lowercased() {
    case "pi": return Quantity(.approximate(.pi))
    case "tau": return Quantity(.approximate(2 * .pi))
    case "e" where name == "e": return Quantity(.approximate(2.718_281_828_459_045_2))
    case "phi": return Quantity(.approximate((1 + 5.0.squareRoot()) / 2))
    default: return Quantity(unit: try unit(name, position))
    }
  }

  private func unit(_ name: String, _ position: Int) throws -> MeasureUnit {
    if let unit = units.unit(name == "in" ? "inch" : name) { return unit }
    let spellings = units.spellings(of: name)
    if spellings.count > 1 {
      throw ToolError(
        "UNKNOWN_NAME",
        "\"\(name)\" could be \(listed(spellings, conjunction: "or")); upper and lower case matter here.",
        details: ["name": name, "position": String(position), "candidates": spellings.joined(separator: ", ")])
    }
    if Functions.isFunction(name) {
      throw ToolError(
        "SYNTAX_ERROR", "\(name) needs its values in parentheses, like \(name)(2).", details: ["name": name])
    }
    let known = units.names.filter { $0.count > 2 } + Functions.all + ["pi", "tau", "phi"]
    let suggestion = name.count > 2 ? closest(to: name, in: known.sorted()) : nil
    throw ToolError(
      "UNKNOWN_NAME",
      "\"\(name)\" is no unit, constant or function known here"
        + (suggestion.map { "; did you mean \"\($0)\"?" } ?? "."),
      details: ["name": name, "position": String(position)].merging(suggestion.map { ["suggestion": $0] } ?? [:]) {
        a, _ in a
      })
  }

  /// The target of a conversion, with its units as written.
  private func unitQuantity(_ target: Expression) throws -> (quantity: Quantity, units: [Quantity.UnitPower]) {
    switch target {
    case .name(let name, let position):
      let unit = try unit(name, position)
      return (Quantity(unit.factor, unit.dimension), [.init(unit: unit, power: 1)])
    case .binary(.power, .name(let name, let position), let exponent):
      let unit = try unit(name, position)
      guard case .exact(let power) = try evaluate(exponent).number, let power = power.int, abs(power) <= 100 else {
        throw CalculationError.mismatch("The power of a unit must be a whole number up to 100.")
      }
      return (
        Quantity(try unit.factor.power(.int(power)), unit.dimension.power(power)), [.init(unit: unit, power: power)]
      )
    case .binary(let kind, let left, let right):
      let a = try unitQuantity(left), b = try unitQuantity(right)
      let sign = kind == .divide ? -1 : 1
      let number = try sign > 0 ? a.quantity.number * b.quantity.number : a.quantity.number / b.quantity.number
      let units = a.units + b.units.map { .init(unit: $0.unit, power: sign * $0.power) }
      return (Quantity(number, a.quantity.dimension * b.quantity.dimension.power(sign)), units)
    default:
      throw CalculationError.mismatch("\"\(target.text)\" is no unit.")
    }
  }
}
