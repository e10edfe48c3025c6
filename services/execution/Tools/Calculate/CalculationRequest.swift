import Foundation

/// Finds the expression in an objective: the sentence around it is taken off, and number words become operators.
enum CalculationRequest {
  /// Throws `NO_EXPRESSION` if nothing in the objective looks like a calculation.
  static func expression(in objective: String) throws -> String {
    var text = objective.trimmedWhitespace
    guard text.count <= CalculationLimits.characters else { throw CalculationError.tooLong }
    if let quoted = quotedPart(of: text) { text = quoted }
    // "3!!" would be 3 if its signs went with the sentence's marks, and 720 if they were taken one by one.
    if text.matches(pattern: "(?:[0-9)%]|\\b(?:pi|e|tau|phi))\\s*!\\s*!") { throw CalculationError.repeatedFactorial }
    // Behind a digit or a parenthesis the mark is a factorial, behind a word it ends the sentence.
    let isFactorial = text.matches(pattern: "[0-9)]\\s*![\\s?.=;:]*$")
    text = text.replacing(pattern: "[\\s?!.=;:]+$", with: "")
    if isFactorial { text += "!" }
    var before = ""
    while before != text {
      before = text
      for pattern in leadIns { text = text.replacing(pattern: pattern, with: "") }
    }
    for (pattern, template) in rewrites { text = text.replacing(pattern: pattern, with: template) }
    for (sign, power) in superscripts { text = text.replacingOccurrences(of: sign, with: power) }
    text = text.trimmedWhitespace
    guard text.contains(where: \.isNumber) || text.matches(pattern: "\\b(pi|e|tau|phi)\\b|π|\\ban? ") else {
      throw CalculationError.noExpression
    }
    return text
  }

  private static func quotedPart(of text: String) -> String? {
    for (open, close) in [("`", "`"), ("\"", "\""), ("“", "”")] {
      let parts = text.components(separatedBy: open)
      if open == close, parts.count == 3 { return parts[1] }
      if open != close, parts.count == 2, let end = parts[1].range(of: close) {
        return String(parts[1][..<end.lowerBound])
      }
    }
    return nil
  }

  private static let leadIns = [
    "hi|hello|hey|please|pls|kindly|buddy|so|now|just|then|also", "can you|could you|would you|will you",
    "i (?:want|need|would like|'d like) (?:you )?to(?: know)?",
    "tell me|show me|give me|let me know|find out|find|figure out",
    "what(?:'s| is| are|s| do| does| would be| will be)", "how (?:much|many) (?:is|are|does|do|would be)(?! there)",
    "calculate|compute|evaluate|calc|solve|work out|determine|convert|simplify|do the math(?: for| on)?|math",
    "the (?:exact |numeric |following )?(?:value|result|answer|outcome) (?:of|to|for)", "the following|this|expression",
    "equals?|make[s]?(?: of)?|the(?! (?:sum|product|difference|quotient|average|mean|median|square|cube))",
  ].map { "^\\s*(?:\($0))(?![a-z])[\\s,:]*" }

  private static let number = "(\\$?[-−]?[0-9][0-9,]*(?:\\.[0-9]+)?%?)"

  /// Pattern to template, in this order.
  private static let rewrites: [(String, String)] = [
    (
      "^how many ([\\p{L}°_/^0-9 ]+?) "
        + "(?:are (?:there )?(?:in|to)|is|are|in|make up|fit in(?:to)?|do i get (?:for|from)|equals?) (.+)$",
      "$2 in $1"
    ),
    ("^(?:the )?(?:vat|tip|tax|discount|interest|commission|fee|share) of ", ""),
    (
      "^(.+?),? (?:to|with|at) ([0-9]+) (?:decimals?|decimal places|places|digits)(?: after the point)?$",
      "round($1, $2)"
    ),
    ("^round\\(round(?:ed)? (.+), ([0-9]+)\\)$", "round($1, $2)"), ("^round (?!\\()([0-9.,]+)$", "round($1)"),
    ("^([0-9.,]+) [a-z]+ (?:at|for|costing) (\\$?[0-9.,]+) (?:each|apiece|a piece)(?: (?:come to|cost))?$", "$1 * $2"),
    ("\\b(?:the )?(?:sum|total) of (.+?) and (.+)$", "sum($1, $2)"),
    ("\\b(?:the )?product of (.+?) and (.+)$", "($1) * ($2)"),
    ("\\b(?:the )?difference (?:of|between) (.+?) and (.+)$", "($1) - ($2)"),
    ("\\b(?:the )?quotient of (.+?) and (.+)$", "($1) / ($2)"),
    ("\\b(?:the )?(?:average|mean) of ((?:[^()]+?, *)+[^()]+?|.+?),? and ([^,()]+)$", "mean($1, $2)"),
    ("\\b(?:the )?(?:average|mean) of ([^()]+,[^()]+)$", "mean($1)"),
    ("\\b(?:the )?median of ((?:[^()]+?, *)+[^()]+?|.+?),? and ([^,()]+)$", "median($1, $2)"),
    ("\\b(?:the )?median of ([^()]+,[^()]+)$", "median($1)"),
    ("^add (.+?) (?:and|to) (.+)$", "($1) + ($2)"),
    ("^subtract (.+?) from (.+)$", "($2) - ($1)"),
    ("^multiply (.+?) (?:by|and|with) (.+)$", "($1) * ($2)"),
    ("^divide (.+?) by (.+)$", "($1) / ($2)"),
    ("^(?:increase|raise) (.+?) by (.+)$", "$1 + $2"),
    ("^(?:decrease|reduce|lower) (.+?) by (.+)$", "$1 - $2"),
    ("\(number) (?:percent|pct|per cent)\\b", "$1%"),
    ("\(number) off(?: of)? (.+)$", "$2 - $1"), ("([0-9]%) on (?=[0-9$€£])", "$1 of "),
    ("\\b(?:the )?square root of \(number)", "sqrt($1)"), ("\\b(?:the )?square root of", "sqrt"),
    ("\\b(?:the )?cube root of \(number)", "cbrt($1)"), ("\\b(?:the )?cube root of \\(", "cbrt("),
    ("\\b(?:the )?factorial of \(number)", "$1!"), ("\(number) factorial\\b", "$1!"),
    ("\\bto the power of\\b|\\braised to(?: the power(?: of)?)?\\b", "^"),
    ("\\bsquared\\b", "^2"), ("\\bcubed\\b", "^3"),
    ("\\b(?:sq\\.?|square) ([\\p{L}]+)", "$1^2"), ("\\b(?:cu\\.?|cubic) ([\\p{L}]+)", "$1^3"),
    ("\\bplus\\b", "+"), ("\\bminus\\b", "-"), ("\\btimes\\b|\\bmultiplied by\\b", "*"),
    ("(?<=[0-9)]) x (?=[0-9(])", " * "), ("(?<=[0-9])x(?=[0-9])(?<!0x)", "*"),
    ("\\bdivided by\\b|\\bover\\b", "/"), ("\\bmodulo\\b", "mod"),
    ("\\b(miles|kilometers|kilometres|meters|metres|feet|bits|bytes) an hour\\b", "$1/hour"), ("\\s+per\\s+", "/"),
    ("\\bdegrees? (celsius|fahrenheit)\\b", "$1"), ("° ?([CFK])\\b", " °$1"), (" °K\\b", " K"),
    ("\\b(nautical|light|imperial|fluid|metric) (miles?|years?|gallons?|ounces?|tons?)\\b", "$1_$2"),
    ("\\bfl\\.? oz\\b", "fl_oz"),
    ("^an? |(?<=\\bin )an? |(?<=\\bto )an? |(?<=\\bof )an? ", "1 "),
    ("(?<=\\bin |\\bto )1 (?=[\\p{L}°/^ ]+$)", ""),
    ("\\s*=\\s*\\??$", ""),
  ]

  private static let superscripts = [("²", "^2"), ("³", "^3"), ("⁴", "^4"), ("⁻¹", "^-1"), ("⁻²", "^-2")]
}
