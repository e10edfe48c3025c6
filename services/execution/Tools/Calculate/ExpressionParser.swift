/// Recursive descent, lowest first: conversion, sum, `of`, product, sign, juxtaposition, power, postfix, atom.
struct ExpressionParser {
  private static let conversions: Set<String> = ["in", "to", "as", "into"]
  private static let currencies = ["$": "USD", "€": "EUR", "£": "GBP"]

  private let tokens: [ExpressionLexer.Placed]
  private var index = 0
  private var depth = 0

  /// Throws `SYNTAX_ERROR`, `EXPRESSION_TOO_DEEP`, `EXPRESSION_TOO_LONG`, `RESULT_TOO_LARGE`.
  static func parse(_ text: String) throws -> Expression {
    var parser = ExpressionParser(tokens: try ExpressionLexer.tokens(of: text))
    if parser.current == .end { throw CalculationError.noExpression }
    let expression = try parser.conversion()
    guard parser.current == .end else { throw parser.unexpected() }
    return expression
  }

  private init(tokens: [ExpressionLexer.Placed]) { self.tokens = tokens }

  private var current: ExpressionLexer.Token { tokens[index].token }
  private var following: ExpressionLexer.Token { tokens[min(index + 1, tokens.count - 1)].token }

  private mutating func conversion() throws -> Expression {
    var value = try sum()
    while case .name(let word) = current, Self.conversions.contains(word.lowercased()) {
      index += 1
      value = .convert(value, to: try unitExpression())
    }
    return value
  }

  /// Units with `*`, `/` and integer powers only.
  private mutating func unitExpression() throws -> Expression {
    let start = tokens[index].position
    let target = try product()
    guard Self.isUnits(target) else {
      throw CalculationError.syntax(
        "After \"in\" or \"to\" a unit is needed, like km or m/s; \"\(target.text)\" is none.", position: start)
    }
    return target
  }

  private static func isUnits(_ expression: Expression) -> Bool {
    switch expression {
    case .name: true
    case .binary(.power, .name, let exponent):
      switch exponent {
      case .number(let value): value.isInteger
      case .negate(.number(let value)): value.isInteger
      default: false
      }
    case .binary(let kind, let left, let right):
      [.multiply, .divide, .juxtapose].contains(kind) && isUnits(left) && isUnits(right)
    default: false
    }
  }

  private mutating func sum() throws -> Expression {
    var left = try share()
    while case .symbol(let symbol) = current, symbol == "+" || symbol == "-" {
      index += 1
      left = .binary(symbol == "+" ? .add : .subtract, left, try share())
    }
    return left
  }

  private mutating func share() throws -> Expression {
    let left = try product()
    guard current == .name("of") else { return left }
    index += 1
    return .binary(.of, left, try nested { try $0.share() })
  }

  private mutating func product() throws -> Expression {
    var left = try signed()
    while true {
      switch current {
      case .symbol("*"): index += 1; left = .binary(.multiply, left, try signed())
      case .symbol("/"): index += 1; left = .binary(.divide, left, try signed())
      case .symbol("%") where startsOperand(index + 1): index += 1; left = .binary(.modulo, left, try signed())
      case .name("mod"): index += 1; left = .binary(.modulo, left, try signed())
      default: return left
      }
    }
  }

  private mutating func signed() throws -> Expression {
    if case .symbol(let sign) = current, sign == "-" || sign == "+" {
      index += 1
      let value = try nested { try $0.signed() }
      return sign == "-" ? .negate(value) : value
    }
    return try juxtaposed()
  }

  private mutating func juxtaposed() throws -> Expression {
    if case .name(let sign) = current, let code = Self.currencies[sign] {
      let position = tokens[index].position
      index += 1
      return .binary(.juxtapose, try power(), .name(code, position: position))
    }
    return try mixed(try factors())
  }

  private mutating func factors() throws -> Expression {
    var left = try power()
    while startsFactor() { left = .binary(.juxtapose, left, try power()) }
    return left
  }

  /// `2 hours 30 min`, `5 ft 11 in`: a number with a unit right behind another one is added to it.
  private mutating func mixed(_ first: Expression) throws -> Expression {
    var sum = first
    guard case .binary(.juxtapose, .number, .name) = first else { return first }
    while case .number = current, case .name(let word) = following, word == "in" || !Self.isKeyword(word) {
      sum = .binary(.add, sum, try factors())
    }
    return sum
  }

  private static func isKeyword(_ word: String) -> Bool {
    conversions.contains(word.lowercased()) || word == "of" || word == "mod"
  }

  /// Whether a factor without operator follows. `in` is an inch only where nothing that could be a unit follows it.
  private func startsFactor() -> Bool {
    switch current {
    case .open: return true
    case .name(let word):
      let word = word.lowercased()
      if word == "in" {
        switch following {
        case .name(let next): return Self.conversions.contains(next.lowercased())
        case .open, .number: return false
        default: return index > 0
        }
      }
      return !Self.isKeyword(word)
    default: return false
    }
  }

  private func startsOperand(_ at: Int) -> Bool {
    switch tokens[min(at, tokens.count - 1)].token {
    case .number, .open: true
    case .name(let word): !Self.isKeyword(word)
    default: false
    }
  }

  private mutating func power() throws -> Expression {
    let base = try postfix()
    guard current == .symbol("^") else { return base }
    index += 1
    let exponent = try nested { parser -> Expression in
      if case .symbol("-") = parser.current {
        parser.index += 1
        return .negate(try parser.power())
      }
      return try parser.power()
    }
    return .binary(.power, base, exponent)
  }

  private mutating func postfix() throws -> Expression {
    var value = try atom()
    var isFactorial = false
    while case .symbol(let symbol) = current {
      if symbol == "!" {
        guard !isFactorial else { throw CalculationError.repeatedFactorial }
        isFactorial = true
        value = .factorial(value)
      } else if symbol == "%", !startsOperand(index + 1) {
        value = .percent(value)
      } else {
        break
      }
      index += 1
    }
    return value
  }

  private mutating func atom() throws -> Expression {
    let placed = tokens[index]
    switch placed.token {
    case .number(let value):
      index += 1
      return .number(value)
    case .open:
      index += 1
      let inner = try nested { try $0.conversion() }
      try expect(.close, "A parenthesis opened at character \(placed.position + 1) is not closed.")
      return inner
    case .name(let word):
      index += 1
      if Functions.isFunction(word), current == .open { return try call(word, placed.position) }
      if word.lowercased() == "sqrt" {
        return .call("sqrt", [try nested { try $0.power() }], position: placed.position)
      }
      return .name(word, position: placed.position)
    default:
      throw unexpected()
    }
  }

  private mutating func call(_ name: String, _ position: Int) throws -> Expression {
    index += 1
    var arguments: [Expression] = []
    if current != .close {
      arguments.append(try nested { try $0.conversion() })
      while current == .comma {
        index += 1
        arguments.append(try nested { try $0.conversion() })
      }
    }
    try expect(.close, "The parenthesis of \(name)( is not closed.")
    return .call(name.lowercased(), arguments, position: position)
  }

  private mutating func expect(_ token: ExpressionLexer.Token, _ message: String) throws {
    guard current == token else {
      throw current == .end ? CalculationError.syntax(message, position: tokens[index].position) : unexpected()
    }
    index += 1
  }

  private mutating func nested<T>(_ body: (inout ExpressionParser) throws -> T) throws -> T {
    depth += 1
    defer { depth -= 1 }
    guard depth <= CalculationLimits.depth else { throw CalculationError.tooDeep }
    return try body(&self)
  }

  private func unexpected() -> ToolError {
    let position = tokens[index].position
    let what: String
    switch current {
    case .end: return CalculationError.syntax("The expression ends where a number is expected.", position: position)
    case .number(let value): what = "the number \(DecimalText.exact(value) ?? "")"
    case .name(let word): what = "\"\(word)\""
    case .symbol(let symbol): what = "\"\(symbol)\""
    case .open: what = "\"(\""
    case .close: what = "\")\""
    case .comma: what = "a comma"
    }
    return CalculationError.syntax("Did not expect \(what) at character \(position + 1).", position: position)
  }
}
