import BigInt
import Foundation

/// The functions of `calculate`. Exact where the result is rational, else approximate.
enum Functions {
  private static let names: Set<String> = [
    "sqrt", "cbrt", "root", "abs", "round", "floor", "ceil", "trunc", "sign", "min", "max", "sum", "mean", "average",
    "avg", "median", "log", "ln", "log2", "log10", "exp", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "atan2",
    "sinh", "cosh", "tanh", "hypot", "gcd", "lcm", "factorial",
  ]

  static func isFunction(_ name: String) -> Bool { names.contains(name.lowercased()) }
  static var all: [String] { names.sorted() }

  static func call(_ name: String, _ arguments: [Quantity], check: () throws -> Void) throws -> Quantity {
    switch name {
    case "sqrt": return try root(name, try one(name, arguments), degree: 2)
    case "cbrt": return try root(name, try one(name, arguments), degree: 3)
    case "root":
      guard arguments.count == 2, case .exact(let degree) = arguments[1].number, let degree = degree.int, degree > 0,
        degree <= 1_000
      else { throw CalculationError.arguments(name, "a value and a degree from 1 to 1,000") }
      return try root(name, arguments[0], degree: degree)
    case "pow":
      guard arguments.count == 2 else { throw CalculationError.arguments(name, "two values") }
      return try arguments[0].raised(to: arguments[1])
    case "abs", "floor", "ceil", "trunc", "sign": return try shaped(name, try one(name, arguments))
    case "round": return try round(arguments)
    case "min", "max", "sum", "mean", "average", "avg", "median": return try statistic(name, arguments)
    case "gcd", "lcm": return try integers(name, arguments)
    case "factorial": return try factorial(try one(name, arguments), check: check)
    default: return Quantity(try Transcendental.call(name, try plain(name, arguments)))
    }
  }

  /// 0! … 3,000!; throws `DOMAIN_ERROR`, `RESULT_TOO_LARGE`.
  static func factorial(_ value: Quantity, check: () throws -> Void) throws -> Quantity {
    guard value.dimension.isNone, case .exact(let number) = value.number, number.isInteger, !number.isNegative else {
      throw CalculationError.domain("The factorial needs a whole number of 0 or more.")
    }
    guard let count = number.int, count <= 3_000 else { throw CalculationError.tooLarge }
    var product = BigInt(1)
    for factor in stride(from: 2, through: count, by: 1) {
      if factor % 64 == 0 { try check() }
      product *= BigInt(factor)
    }
    return Quantity(.exact(try Rational(product, over: 1)))
  }

  private static func one(_ name: String, _ arguments: [Quantity]) throws -> Quantity {
    guard arguments.count == 1 else { throw CalculationError.arguments(name, "one value") }
    return arguments[0]
  }

  private static func plain(_ name: String, _ arguments: [Quantity]) throws -> [Number] {
    for argument in arguments where !argument.dimension.isNone {
      throw CalculationError.mismatch("\(name) takes a plain number, not \(argument.dimension.name).")
    }
    return arguments.map(\.number)
  }

  private static func root(_ name: String, _ value: Quantity, degree: Int) throws -> Quantity {
    let negative = Number.isLess(value.number, .int(0))
    if negative, degree % 2 == 0 { throw CalculationError.domain("\(name) of a negative number is not a real number.") }
    let magnitude = negative ? Quantity(-value.number, value.dimension, display: value.display) : value
    let result = try magnitude.raised(to: Quantity(.exact(try Rational(1, over: degree))))
    return negative ? Quantity(-result.number, result.dimension, display: result.display) : result
  }

  /// Works on the value as shown, so that floor(5.3 km) is 5 km.
  private static func shaped(_ name: String, _ value: Quantity) throws -> Quantity {
    let shown = try value.shown()
    let result: Number
    switch (name, shown) {
    case ("abs", .exact(let number)): result = .exact(number.magnitude)
    case ("abs", .approximate(let number)): result = .approximate(abs(number))
    case ("floor", .exact(let number)): result = .exact(number.floor)
    case ("floor", .approximate(let number)): result = .approximate(number.rounded(.down))
    case ("ceil", .exact(let number)): result = .exact(number.ceiling)
    case ("ceil", .approximate(let number)): result = .approximate(number.rounded(.up))
    case ("trunc", .exact(let number)): result = .exact(number.isNegative ? number.ceiling : number.floor)
    case ("trunc", .approximate(let number)): result = .approximate(number.rounded(.towardZero))
    default: return Quantity(.int(shown.isZero ? 0 : Number.isLess(shown, .int(0)) ? -1 : 1))
    }
    return try fromShown(result, like: value)
  }

  private static func round(_ arguments: [Quantity]) throws -> Quantity {
    var digits = 0
    if arguments.count == 2 {
      guard arguments[1].dimension.isNone, case .exact(let number) = arguments[1].number, let count = number.int,
        abs(count) <= 1_000
      else { throw CalculationError.arguments("round", "a number of digits from -1,000 to 1,000 as its second value") }
      digits = count
    } else if arguments.count != 1 {
      throw CalculationError.arguments("round", "a value and optionally a number of digits")
    }
    switch try arguments[0].shown() {
    case .exact(let number): return try fromShown(.exact(try number.rounded(digits: digits)), like: arguments[0])
    case .approximate(let number):
      let scale = pow(10, Double(digits))
      return try fromShown(try .checked((number * scale).rounded() / scale), like: arguments[0])
    }
  }

  private static func fromShown(_ number: Number, like value: Quantity) throws -> Quantity {
    if value.isPoint, let unit = value.display.first?.unit {
      let kelvins = try number * unit.factor + .exact(unit.offset ?? .zero)
      return Quantity(kelvins, value.dimension, display: value.display, isPoint: true)
    }
    let base = try value.display.reduce(number) { try $0 * $1.unit.factor.power(.int($1.power)) }
    return Quantity(base, value.dimension, display: value.display)
  }

  private static func statistic(_ name: String, _ arguments: [Quantity]) throws -> Quantity {
    guard let first = arguments.first else { throw CalculationError.arguments(name, "one value or more") }
    for other in arguments { try first.same(other, verb: "compared or added") }
    let sorted = arguments.sorted { Number.isLess($0.number, $1.number) }
    switch name {
    case "min": return sorted[0]
    case "max": return sorted[sorted.count - 1]
    case "median":
      let middle = sorted[sorted.count / 2]
      if sorted.count % 2 == 1 { return middle }
      let sum = try sorted[sorted.count / 2 - 1].number + middle.number
      return Quantity(try sum / .int(2), first.dimension, display: first.display, isPoint: first.isPoint)
    case "sum":
      return try arguments.dropFirst().reduce(first) { try $0.adding($1, sign: 1, verb: "added") }
    default:
      let sum = try arguments.dropFirst().reduce(first.number) { try $0 + $1.number }
      return Quantity(try sum / .int(arguments.count), first.dimension, display: first.display, isPoint: first.isPoint)
    }
  }

  private static func integers(_ name: String, _ arguments: [Quantity]) throws -> Quantity {
    let values = try plain(name, arguments).map { number -> BigInt in
      guard case .exact(let value) = number, value.isInteger else {
        throw CalculationError.domain("\(name) needs whole numbers.")
      }
      return value.numerator
    }
    guard var result = values.first else { throw CalculationError.arguments(name, "one value or more") }
    for value in values.dropFirst() {
      let divisor = result.greatestCommonDivisor(with: value)
      if name == "gcd" { result = divisor } else { result = divisor.isZero ? 0 : result / divisor * value }
      guard result.bitWidth <= Rational.maximumBits else { throw CalculationError.tooLarge }
    }
    return Quantity(.exact(try Rational(BigInt(result.magnitude), over: 1)))
  }
}
