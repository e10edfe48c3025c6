/// `calculate`: exact arithmetic and units.
struct CalculateTool: Tool {
  let declaration = ToolDeclaration(
    name: "calculate",
    description: "Exact arithmetic with fractions, decimals, percentages, functions and units of measure.",
    inputSchema: """
      {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
          "expression": {
            "type": "string", "minLength": 1, "maxLength": \(CalculationLimits.characters),
            "description": "E.g. \\"(3+4)*2^10\\" or \\"12 km in miles\\". Default: taken from the objective."
          }
        },
        "additionalProperties": false
      }
      """,
    intents: ["calculation": 0.9], hasSideEffects: false, isIdempotent: true, risk: .low, timeLimit: .seconds(10),
    maximumInputBytes: 64 * 1024, maximumOutputBytes: 256 * 1024)

  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput {
    try await onWorkerThread(progress: progress) { work in
      work.report(0, "Reading the expression")
      let text = try call.parameter("expression").map(Self.cleaned) ?? CalculationRequest.expression(in: call.objective)
      let expression = try ExpressionParser.parse(text)
      work.report(0.3, "Calculating \(expression.text.shortened(to: 80))")
      let evaluator = Evaluator(check: work.checkCancellation)
      let result = try CalculationResult(expression, try evaluator.evaluate(expression))
      work.report(1, "Calculated")
      let artifact = ToolArtifact(name: "result.json", mediaType: "application/json", text: result.json.pretty)
      return ToolOutput(text: result.text, artifacts: [artifact], bytesRead: text.utf8.count)
    }
  }

  /// An explicit expression may use the same words as an objective ("5 miles per hour in m/s").
  private static func cleaned(_ text: String) throws -> String { try CalculationRequest.expression(in: text) }
}

/// A result, for people and for programs.
struct CalculationResult {
  let interpreted: String
  /// `p/q` in the shown unit; nil if approximate or an integer.
  let fraction: String?
  let decimal: String
  /// Whether `decimal` is the exact value.
  let isExactDecimal: Bool
  /// Whether the value itself is exact.
  let isExact: Bool
  let repeating: String?
  let unit: String
  let notes: [String]

  init(_ expression: Expression, _ quantity: Quantity) throws {
    interpreted = expression.text
    unit = quantity.unitText
    notes = quantity.notes
    switch try quantity.shown() {
    case .exact(let value):
      isExact = true
      fraction = value.isInteger ? nil : "\(value.numerator)/\(value.denominator)"
      let exact = DecimalText.exact(value)
      isExactDecimal = exact != nil
      decimal = exact ?? DecimalText.rounded(value)
      repeating = exact == nil ? DecimalText.repeating(value) : nil
    case .approximate(let value):
      isExact = false
      isExactDecimal = false
      fraction = nil
      repeating = nil
      decimal = DecimalText.approximate(value)
    }
  }

  var text: String {
    let suffix = unit.isEmpty ? "" : unit.hasPrefix("°") && unit.count == 1 ? unit : " " + unit
    var line = interpreted.shortened(to: 400)
    // A fraction is worth showing where the decimal does not say it all.
    if let fraction, !isExactDecimal, fraction.count <= 60, fraction != interpreted.filter({ $0 != " " && $0 != "," }) {
      line += " = \(fraction)\(suffix)"
    }
    line += (isExactDecimal ? " = " : " ≈ ") + groupedDigits(decimal) + suffix
    var remarks: [String] = []
    if isExact, !isExactDecimal { remarks.append("rounded to \(DecimalText.exactDigits) significant digits") }
    if let repeating { remarks.append("exactly \(repeating)") }
    if !isExact { remarks.append("approximate, \(DecimalText.approximateDigits) significant digits") }
    remarks += notes
    return line + (remarks.isEmpty ? "" : "\n(" + remarks.joined(separator: "; ") + ")")
  }

  var json: JSONValue {
    .object([
      ("expression", .string(interpreted)), ("decimal", .string(decimal)), ("unit", .string(unit)),
      ("exact", .bool(isExact)), ("decimalIsExact", .bool(isExactDecimal)), ("fraction", .optional(fraction)),
      ("repeating", .optional(repeating)), ("notes", .array(notes.map(JSONValue.string))),
    ])
  }
}
