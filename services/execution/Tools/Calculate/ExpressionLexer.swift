/// Splits an expression into tokens.
struct ExpressionLexer {
  enum Token: Hashable, Sendable {
    case number(Rational)
    case name(String)
    /// `+ - * / ^ % !`
    case symbol(Character)
    case open, close, comma, end
  }

  struct Placed: Sendable {
    let token: Token
    let position: Int
    /// Whether white space stands before it.
    let spaced: Bool
  }

  private let characters: [Character]
  private var index = 0
  /// One entry a parenthesis: whether it is a function's. There a comma separates arguments, not thousands.
  private var callDepth: [Bool] = []

  static func tokens(of text: String) throws -> [Placed] {
    guard text.count <= CalculationLimits.characters else { throw CalculationError.tooLong }
    var lexer = ExpressionLexer(characters: Array(text))
    var out: [Placed] = []
    while true {
      let spaced = lexer.skipSpace()
      let position = lexer.index
      let token = try lexer.next(after: out.last)
      out.append(Placed(token: token, position: position, spaced: spaced))
      if token == .end { return out }
    }
  }

  private init(characters: [Character]) { self.characters = characters }

  private mutating func skipSpace() -> Bool {
    let start = index
    while index < characters.count, characters[index].isWhitespace { index += 1 }
    return index > start
  }

  private mutating func next(after previous: Placed?) throws -> Token {
    guard index < characters.count else { return .end }
    let character = characters[index]
    if character.isASCII, character.isNumber || (character == "." && isDigit(index + 1)) { return try number() }
    if Self.isNameStart(character) { return name() }
    index += 1
    switch character {
    case "(", "[":
      if case .name = previous?.token { callDepth.append(true) } else { callDepth.append(false) }
      return .open
    case ")", "]":
      _ = callDepth.popLast()
      return .close
    case ",", ";": return .comma
    case "+", "/", "^", "%", "!": return .symbol(character)
    case "-", "−", "–": return .symbol("-")
    case "*":
      if index < characters.count, characters[index] == "*" {
        index += 1
        return .symbol("^")
      }
      return .symbol("*")
    case "×", "·", "⋅", "∗": return .symbol("*")
    case "÷", ":": return .symbol("/")
    case "√": return .name("sqrt")
    case "π": return .name("pi")
    default:
      throw CalculationError.syntax("\"\(character)\" cannot be read at character \(index).", position: index - 1)
    }
  }

  private mutating func number() throws -> Token {
    let start = index
    if let value = try prefixed() { return .number(value) }
    var text = digits()
    let grouping = callDepth.last != true
    if grouping, (1...3).contains(text.count) {
      while index < characters.count, characters[index] == ",", isGroup(index + 1) {
        index += 1
        text += digits()
      }
    }
    if grouping, index < characters.count, characters[index] == ",", isDigit(index + 1) {
      throw CalculationError.syntax(
        "The comma at character \(index + 1) is no thousands separator; write decimals with a point.", position: index)
    }
    if index < characters.count, characters[index] == ".", isDigit(index + 1) {
      index += 1
      text += "." + digits()
    } else if index < characters.count, characters[index] == ".", !isNamePart(index + 1) {
      index += 1  // "5." is 5
    }
    text += exponent()
    guard let value = try Rational(decimal: text.hasPrefix(".") ? "0" + text : text) else {
      throw CalculationError.syntax("\"\(text)\" is not a number.", position: start)
    }
    return .number(value)
  }

  /// `0x1F`, `0b101`.
  private mutating func prefixed() throws -> Rational? {
    guard characters[index] == "0", index + 2 < characters.count else { return nil }
    let radix: Int
    switch characters[index + 1] {
    case "x": radix = 16
    case "b": radix = 2
    default: return nil
    }
    var end = index + 2
    var value = Rational.zero
    while end < characters.count, characters[end].isASCII, let digit = characters[end].hexDigitValue, digit < radix {
      value = try value * Rational(radix) + Rational(digit)
      end += 1
    }
    guard end > index + 2, !isNamePart(end) else { return nil }
    index = end
    return value
  }

  /// `e-3`, but not the `e` of `2e` or `3 eV`.
  private mutating func exponent() -> String {
    guard index < characters.count, characters[index] == "e" || characters[index] == "E" else { return "" }
    var next = index + 1
    var sign = ""
    if next < characters.count, characters[next] == "-" || characters[next] == "+" {
      sign = String(characters[next])
      next += 1
    }
    guard isDigit(next) else { return "" }
    index = next
    return "e" + sign + digits()
  }

  private mutating func digits() -> String {
    let start = index
    while isDigit(index) { index += 1 }
    return String(characters[start..<index])
  }

  private mutating func name() -> Token {
    let start = index
    index += 1
    if "$€£".contains(characters[start]) { return .name(String(characters[start])) }
    while isNamePart(index) { index += 1 }
    // 10² and m³: superscripts are read as ^2 and ^3 by the clean-up before; here a name ends at them.
    return .name(String(characters[start..<index]))
  }

  private func isDigit(_ at: Int) -> Bool { at < characters.count && ("0"..."9").contains(characters[at]) }

  /// Exactly three digits.
  private func isGroup(_ at: Int) -> Bool {
    isDigit(at) && isDigit(at + 1) && isDigit(at + 2) && !isDigit(at + 3)
  }

  private func isNamePart(_ at: Int) -> Bool {
    at < characters.count && (Self.isNameStart(characters[at]) || isDigit(at))
  }

  private static func isNameStart(_ character: Character) -> Bool {
    (character.isLetter && character != "π") || "_°$€£".contains(character)
  }
}
