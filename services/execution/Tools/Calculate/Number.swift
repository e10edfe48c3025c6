import BigInt
import Foundation

/// A real number that knows whether it is exact. Anything that touches an approximate one becomes approximate.
enum Number: Hashable, Sendable {
  case exact(Rational)
  /// About 15 significant digits.
  case approximate(Double)

  /// Throws `RESULT_TOO_LARGE` if the value is infinite, `DOMAIN_ERROR` if it is not a number.
  static func checked(_ value: Double) throws -> Number {
    if value.isNaN { throw CalculationError.domain("The result is not a real number.") }
    if value.isInfinite { throw CalculationError.tooLarge }
    return .approximate(value)
  }

  static func int(_ value: Int) -> Number { .exact(Rational(value)) }

  var double: Double {
    switch self {
    case .exact(let value): value.double
    case .approximate(let value): value
    }
  }

  var isExact: Bool { if case .exact = self { true } else { false } }
  var isZero: Bool {
    switch self {
    case .exact(let value): value.isZero
    case .approximate(let value): value == 0
    }
  }

  static func + (a: Number, b: Number) throws -> Number { try combine(a, b, exact: { try $0 + $1 }, approximate: +) }
  static func - (a: Number, b: Number) throws -> Number { try combine(a, b, exact: { try $0 - $1 }, approximate: -) }
  static func * (a: Number, b: Number) throws -> Number { try combine(a, b, exact: { try $0 * $1 }, approximate: *) }

  static func / (a: Number, b: Number) throws -> Number {
    if b.isZero { throw CalculationError.divisionByZero }
    return try combine(a, b, exact: { try $0 / $1 }, approximate: /)
  }

  static prefix func - (a: Number) -> Number {
    switch a {
    case .exact(let value): .exact(-value)
    case .approximate(let value): .approximate(-value)
    }
  }

  static func isLess(_ a: Number, _ b: Number) -> Bool {
    if case .exact(let x) = a, case .exact(let y) = b { return x < y }
    return a.double < b.double
  }

  /// Exact where the result is rational: integer exponents, and roots that come out even.
  func power(_ exponent: Number) throws -> Number {
    if case .exact(let base) = self, case .exact(let power) = exponent {
      if let whole = power.int { return .exact(try base.power(whole)) }
      if power.isInteger {
        // Beyond Int only 0, 1 and −1 have a power of printable size.
        guard base.isZero || base.magnitude == .one else { throw CalculationError.tooLarge }
        return .exact(try base.power(power.numerator.isMultiple(of: 2) ? 2 : 1))
      }
      if let degree = Int(exactly: power.denominator), let times = Int(exactly: power.numerator),
        degree <= 1_000, let root = base.exactRoot(degree)
      {
        return .exact(try root.power(times))
      }
      if base.isNegative {
        throw CalculationError.domain("A negative number has no real power with a fractional exponent.")
      }
    }
    if isZero, exponent.double < 0 { throw CalculationError.divisionByZero }
    return try .checked(pow(double, exponent.double))
  }

  private static func combine(
    _ a: Number, _ b: Number, exact: (Rational, Rational) throws -> Rational, approximate: (Double, Double) -> Double
  ) throws -> Number {
    if case .exact(let x) = a, case .exact(let y) = b { return .exact(try exact(x, y)) }
    return try .checked(approximate(a.double, b.double))
  }
}
