import Messages

/// Reads what a person answers to a mission's question. Pure.
enum AnswerText {
  struct Problem: Error, Hashable, CustomStringConvertible {
    let description: String
  }

  static func parse(_ text: String, for question: Question) -> Result<Answer, Problem> {
    let trimmed = String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    let value: Answer.Value? =
      switch question.kind {
      case .yesNo: yesNo(trimmed).map { .yes($0) }
      case .choice: choice(trimmed, of: question.options).map { .choice($0) }
      case .text: (1...10_000).contains(trimmed.unicodeScalars.count) ? .text(trimmed) : nil
      case .number: Double(trimmed).flatMap { $0.isFinite ? .number($0) : nil }
      case .unspecified, .unrecognized: nil
      }
    guard let value else { return .failure(Problem(description: rule(question))) }
    return .success(Answer(value: value))
  }

  /// What it has to be, as a sentence's end.
  static func rule(_ question: Question) -> String {
    switch question.kind {
    case .yesNo: "the answer is yes or no"
    case .choice: "the answer is one of: \(question.options.map(TerminalText.line).joined(separator: ", "))"
    case .text: "the answer is a text of 1 to 10,000 characters"
    case .number: "the answer is a number"
    case .unspecified, .unrecognized: "this version cannot answer such a question"
    }
  }

  private static func yesNo(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "y", "yes", "true": true
    case "n", "no", "false": false
    default: nil
    }
  }

  /// The option itself; else in another case, where only one is meant; else its number, from 1.
  private static func choice(_ text: String, of options: [String]) -> String? {
    if options.contains(text) { return text }
    let similar = options.filter { $0.lowercased() == text.lowercased() }
    if similar.count == 1 { return similar[0] }
    guard let number = Int(text), options.indices.contains(number - 1) else { return nil }
    return options[number - 1]
  }
}

/// How a question is put to a person.
enum QuestionText {
  /// The question, and what can be chosen.
  static func lines(_ question: Question) -> String {
    var lines = [TerminalText.line(question.prompt)]
    if question.kind == .choice {
      lines += question.options.enumerated().map { "  \($0 + 1)  \(TerminalText.line($1))" }
    }
    return lines.joined(separator: "\n")
  }

  /// What stands before the cursor.
  static func prompt(_ question: Question) -> String {
    switch question.kind {
    case .yesNo: "yes or no: "
    case .choice: "1 to \(question.options.count): "
    case .number: "a number: "
    case .text, .unspecified, .unrecognized: "> "
    }
  }

  /// How to answer it from elsewhere.
  static func advice(_ question: Question, mission: String) -> String {
    let answer =
      switch question.kind {
      case .yesNo: "yes|no"
      case .choice: "CHOICE"
      case .number: "NUMBER"
      case .text, .unspecified, .unrecognized: "TEXT"
      }
    return "`buddy mission answer \(mission) \(answer)`"
  }
}
