/// The errors of `calculate`, each with its stable code.
enum CalculationError {
  static let divisionByZero = ToolError("DIVISION_BY_ZERO", "The expression divides by zero.")
  static let tooLarge = ToolError(
    "RESULT_TOO_LARGE", "A number in this calculation would have more than 10,000 digits; ask for less.")
  static let tooDeep = ToolError(
    "EXPRESSION_TOO_DEEP", "The expression is nested more than \(CalculationLimits.depth) levels deep.")
  static let tooLong = ToolError(
    "EXPRESSION_TOO_LONG", "The expression has more than \(CalculationLimits.characters) characters.")
  static let repeatedFactorial = ToolError(
    "REPEATED_FACTORIAL",
    "Repeated factorial signs like 3!! are not calculated; write 3! once, or (3!)! for the factorial of 3!.")
  static let noExpression = ToolError(
    "NO_EXPRESSION",
    "There is nothing to calculate in this objective. Write it like \"17.5% of 2340\" or \"convert 12 km to miles\".")

  static func syntax(_ message: String, position: Int) -> ToolError {
    ToolError("SYNTAX_ERROR", message, details: ["position": String(position)])
  }

  static func domain(_ message: String) -> ToolError { ToolError("DOMAIN_ERROR", message) }

  static func mismatch(_ message: String) -> ToolError { ToolError("UNIT_MISMATCH", message) }

  static func arguments(_ name: String, _ expected: String) -> ToolError {
    ToolError("WRONG_ARGUMENTS", "\(name) takes \(expected).", details: ["function": name])
  }
}

enum CalculationLimits {
  static let characters = 2_000
  static let depth = 100
}
