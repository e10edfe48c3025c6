/// What the parser understood. Positions are character offsets in the expression text.
indirect enum Expression: Sendable, Hashable {
  enum Operator: String, Sendable {
    case add = "+", subtract = "-", multiply = "×", divide = "/", power = "^", modulo = "mod", of = "of"
    /// A unit or factor written right behind: `5 m`, `2 pi`. Binds tighter than `/`.
    case juxtapose = " "

    var precedence: Int {
      switch self {
      case .add, .subtract: 1
      case .of: 2
      case .multiply, .divide, .modulo: 3
      case .juxtapose: 4
      case .power: 6
      }
    }
  }

  case number(Rational)
  /// A constant or a unit.
  case name(String, position: Int)
  case negate(Expression)
  case percent(Expression)
  case factorial(Expression)
  case binary(Operator, Expression, Expression)
  case call(String, [Expression], position: Int)
  /// `left in right`; the right side is made of units only.
  case convert(Expression, to: Expression)

  /// The expression as it was understood, with the parentheses that matter.
  var text: String { render(0) }

  private func render(_ outer: Int) -> String {
    switch self {
    case .number(let value):
      let text = DecimalText.exact(value) ?? "\(value.numerator)/\(value.denominator)"
      return groupedDigits(text)
    case .name(let name, _): return name
    case .negate(let inner): return Self.wrap("-" + inner.render(4), if: outer > 5)
    case .percent(let inner): return inner.render(7) + "%"
    case .factorial(.factorial(let inner)): return "(" + inner.render(7) + "!)!"
    case .factorial(let inner): return inner.render(7) + "!"
    case .binary(let kind, let left, let right):
      let precedence = kind.precedence
      let separator = kind == .power || kind == .juxtapose ? kind.rawValue : " \(kind.rawValue) "
      if kind == .power, case .negate(.number) = right { return left.render(7) + "^" + right.render(0) }
      let text =
        left.render(kind == .power ? precedence + 1 : precedence) + separator
        + right.render(kind == .power ? precedence : precedence + 1)
      return Self.wrap(text, if: outer > precedence)
    case .call(let name, let arguments, _):
      return name + "(" + arguments.map { $0.render(0) }.joined(separator: ", ") + ")"
    case .convert(let value, let target): return Self.wrap(value.render(1) + " in " + target.render(1), if: outer > 0)
    }
  }

  private static func wrap(_ text: String, if needed: Bool) -> String { needed ? "(\(text))" : text }
}
