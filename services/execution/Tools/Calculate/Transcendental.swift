import BigInt
import Foundation

/// Functions with irrational results: computed in double precision, exact only at the points where they are rational.
enum Transcendental {
  static func call(_ name: String, _ arguments: [Number]) throws -> Number {
    if name == "log" || name == "atan2" || name == "hypot" { return try binary(name, arguments) }
    guard arguments.count == 1, let value = arguments.first else { throw CalculationError.arguments(name, "one value") }
    let x = value.double
    switch name {
    case "exp": return value == .int(0) ? .int(1) : try .checked(exp(x))
    case "ln": return value == .int(1) ? .int(0) : try logarithm(value, base: nil)
    case "log2": return try logarithm(value, base: Rational(2))
    case "log10": return try logarithm(value, base: Rational(10))
    case "sin", "tan", "asin", "atan", "sinh", "tanh":
      return value == .int(0) ? .int(0) : try trigonometric(name, x)
    case "cos", "cosh": return value == .int(0) ? .int(1) : try trigonometric(name, x)
    default: return try trigonometric(name, x)
    }
  }

  private static func binary(_ name: String, _ arguments: [Number]) throws -> Number {
    if name == "log" {
      guard let value = arguments.first, arguments.count <= 2 else {
        throw CalculationError.arguments(name, "a value and optionally a base")
      }
      guard arguments.count == 2 else { return try logarithm(value, base: Rational(10)) }
      if case .exact(let base) = arguments[1] { return try logarithm(value, base: base) }
      guard arguments[1].double > 0, arguments[1].double != 1 else {
        throw CalculationError.domain("The base of a logarithm must be above 0 and not 1.")
      }
      return try .checked(try logarithm(value, base: nil).double / log(arguments[1].double))
    }
    guard arguments.count == 2 else { throw CalculationError.arguments(name, "two values") }
    let x = arguments[0].double, y = arguments[1].double
    return try .checked(name == "hypot" ? hypot(x, y) : atan2(x, y))
  }

  /// `base` nil means e.
  private static func logarithm(_ value: Number, base: Rational?) throws -> Number {
    guard Number.isLess(.int(0), value) else {
      throw CalculationError.domain("The logarithm is defined only for numbers above 0.")
    }
    guard let base else { return try .checked(naturalLog(value)) }
    guard !base.isNegative, !base.isZero, base != .one else {
      throw CalculationError.domain("The base of a logarithm must be above 0 and not 1.")
    }
    let result = naturalLog(value) / naturalLog(.exact(base))
    if case .exact(let number) = value, abs(result) < 40_000 {
      let whole = Int(result.rounded())
      if abs(result - Double(whole)) < 1e-9, let power = try? base.power(whole), power == number { return .int(whole) }
    }
    return try .checked(result)
  }

  /// Also for numbers far beyond a Double's range.
  private static func naturalLog(_ value: Number) -> Double {
    guard case .exact(let number) = value else { return log(value.double) }
    return log(number.numerator) - log(number.denominator)
  }

  private static func log(_ value: BigInt) -> Double {
    let shift = max(0, value.bitWidth - 1_000)
    return Foundation.log(Double(value >> shift)) + Double(shift) * 0.693_147_180_559_945_309_417
  }

  private static func log(_ value: Double) -> Double { Foundation.log(value) }

  private static func trigonometric(_ name: String, _ x: Double) throws -> Number {
    switch name {
    case "sin": return try .checked(snapped(sin(x), x))
    case "cos": return try .checked(snapped(cos(x), x))
    case "tan":
      guard snapped(cos(x), x) != 0 else { throw CalculationError.domain("tan is not defined there.") }
      return try .checked(snapped(tan(x), x))
    case "asin", "acos":
      guard abs(x) <= 1 else { throw CalculationError.domain("\(name) is defined only from -1 to 1.") }
      return try .checked(name == "asin" ? asin(x) : acos(x))
    case "atan": return try .checked(atan(x))
    case "sinh": return try .checked(sinh(x))
    case "cosh": return try .checked(cosh(x))
    case "tanh": return try .checked(tanh(x))
    default: throw ToolError("UNKNOWN_NAME", "There is no function \"\(name)\".", details: ["name": name])
    }
  }

  /// sin(pi) in doubles is 1.2e-16: below what the argument's own rounding allows to tell, it is 0.
  private static func snapped(_ result: Double, _ argument: Double) -> Double {
    abs(result) <= 2 * max(abs(argument), 1).ulp ? 0 : result
  }
}
