import BigInt

/// An exact fraction of arbitrary-precision integers, always reduced, the denominator positive.
///
/// Its size is bounded: numerator and denominator have at most `maximumBits` bits (about 10,000 decimal digits each),
/// so that `9^9^9` is an error and not a machine without memory.
struct Rational: Hashable, Sendable, Comparable {
  static let maximumBits = 33_219

  let numerator: BigInt
  let denominator: BigInt

  /// Throws `DIVISION_BY_ZERO` or `RESULT_TOO_LARGE`.
  init(_ numerator: BigInt, over denominator: BigInt) throws {
    guard !denominator.isZero else { throw CalculationError.divisionByZero }
    guard numerator.bitWidth <= 2 * Self.maximumBits, denominator.bitWidth <= 2 * Self.maximumBits else {
      throw CalculationError.tooLarge
    }
    let divisor = denominator == 1 ? 1 : numerator.greatestCommonDivisor(with: denominator)
    let sign: BigInt = denominator.sign == .minus ? -1 : 1
    self.numerator = divisor == 1 ? numerator * sign : numerator / divisor * sign
    self.denominator = divisor == 1 ? denominator * sign : denominator / divisor * sign
    guard self.numerator.bitWidth <= Self.maximumBits, self.denominator.bitWidth <= Self.maximumBits else {
      throw CalculationError.tooLarge
    }
  }

  init(_ value: Int) {
    numerator = BigInt(value)
    denominator = 1
  }

  private init(reduced numerator: BigInt, _ denominator: BigInt) {
    self.numerator = numerator
    self.denominator = denominator
  }

  /// `12`, `0.5`, `1.5e-3`; nil if it is no such number. Throws `RESULT_TOO_LARGE` for an exponent beyond ±10,000.
  init?(decimal text: some StringProtocol) throws {
    let parts = text.lowercased().split(separator: "e", omittingEmptySubsequences: false)
    guard parts.count <= 2, let mantissa = parts.first else { return nil }
    let digits = mantissa.split(separator: ".", omittingEmptySubsequences: false)
    guard digits.count <= 2, let whole = digits.first else { return nil }
    let fraction = digits.count == 2 ? digits[1] : ""
    guard let coefficient = BigInt(String(whole + fraction).isEmpty ? "x" : String(whole + fraction)) else {
      return nil
    }
    var exponent = -fraction.count
    if parts.count == 2 {
      guard let written = Int(parts[1]) else { return nil }
      guard abs(written) <= 10_000 else { throw CalculationError.tooLarge }
      exponent += written
    }
    let power = BigInt(10).power(abs(exponent))
    try self.init(exponent >= 0 ? coefficient * power : coefficient, over: exponent >= 0 ? 1 : power)
  }

  static let zero = Rational(0)
  static let one = Rational(1)

  var isInteger: Bool { denominator == 1 }
  var isZero: Bool { numerator.isZero }
  var isNegative: Bool { numerator.sign == .minus && !numerator.isZero }
  var magnitude: Rational { Rational(reduced: BigInt(numerator.magnitude), denominator) }
  /// Nil if it is no integer or does not fit.
  var int: Int? { isInteger ? Int(exactly: numerator) : nil }

  var double: Double {
    let shift = max(numerator.bitWidth, denominator.bitWidth) - 1_000
    guard shift > 0 else { return Double(numerator) / Double(denominator) }
    // Both sides are scaled down together: either alone would overflow a Double.
    let scaledDown = Double(numerator >> shift) / Double(denominator >> shift)
    return scaledDown.isFinite && scaledDown != 0
      ? scaledDown : (numerator.magnitude > denominator.magnitude ? .infinity : 0)
  }

  static func + (a: Rational, b: Rational) throws -> Rational {
    if a.isInteger, b.isInteger { return try Rational(a.numerator + b.numerator, over: 1) }
    return try Rational(a.numerator * b.denominator + b.numerator * a.denominator, over: a.denominator * b.denominator)
  }

  static func - (a: Rational, b: Rational) throws -> Rational { try a + (-b) }

  static prefix func - (a: Rational) -> Rational { Rational(reduced: -a.numerator, a.denominator) }

  static func * (a: Rational, b: Rational) throws -> Rational {
    try Rational(a.numerator * b.numerator, over: a.denominator * b.denominator)
  }

  static func / (a: Rational, b: Rational) throws -> Rational {
    try Rational(a.numerator * b.denominator, over: a.denominator * b.numerator)
  }

  static func < (a: Rational, b: Rational) -> Bool {
    a.numerator * b.denominator < b.numerator * a.denominator
  }

  /// The size is estimated before anything is multiplied. Throws `RESULT_TOO_LARGE`, `DIVISION_BY_ZERO`.
  func power(_ exponent: Int) throws -> Rational {
    if isZero, exponent < 0 { throw CalculationError.divisionByZero }
    if magnitude == .one || isZero {
      if exponent == 0 || self == .one { return .one }
      return isZero ? .zero : exponent % 2 == 0 ? .one : self
    }
    let bits = max(numerator.magnitude.bitWidth, denominator.magnitude.bitWidth)
    let (size, overflow) = (bits - 1).multipliedReportingOverflow(by: Int(clamping: exponent.magnitude))
    guard !overflow, size <= Self.maximumBits else { throw CalculationError.tooLarge }
    let count = Int(exponent.magnitude)
    let top = numerator.power(count), bottom = denominator.power(count)
    return try exponent >= 0 ? Rational(top, over: bottom) : Rational(bottom, over: top)
  }

  /// The exact `degree`-th root of a non-negative value, or nil if it is irrational. `degree` ≥ 1.
  func exactRoot(_ degree: Int) -> Rational? {
    guard !isNegative, let top = Self.root(numerator, degree), let bottom = Self.root(denominator, degree) else {
      return nil
    }
    return Rational(reduced: top, bottom)
  }

  private static func root(_ value: BigInt, _ degree: Int) -> BigInt? {
    if value <= 1 { return value }
    guard degree < value.bitWidth else { return nil }
    // Newton's method on integers from above: falls monotonically to the floor of the root.
    var guess = BigInt(1) << (value.bitWidth / degree + 1)
    while true {
      let quotient: BigInt = value / guess.power(degree - 1)
      let next: BigInt = (guess * BigInt(degree - 1) + quotient) / BigInt(degree)
      if next >= guess { break }
      guess = next
    }
    return guess.power(degree) == value ? guess : nil
  }

  /// The largest integer not above.
  var floor: Rational {
    let (quotient, remainder) = numerator.quotientAndRemainder(dividingBy: denominator)
    return Rational(reduced: remainder.sign == .minus && !remainder.isZero ? quotient - 1 : quotient, 1)
  }

  /// The smallest integer not below.
  var ceiling: Rational { -((-self).floor) }

  /// To the nearest multiple of 10^-digits; halves away from zero, as at school. `digits` −1,000…1,000.
  func rounded(digits: Int = 0) throws -> Rational {
    let scale = try Rational(10).power(digits)
    let half = try Rational(1, over: 2)
    let scaled = try magnitude * scale
    let whole = try (scaled + half).floor / scale
    return isNegative ? -whole : whole
  }
}

extension Rational {
  init(_ numerator: Int, over denominator: Int) throws {
    try self.init(BigInt(numerator), over: BigInt(denominator))
  }
}
