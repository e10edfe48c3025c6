import Messages

extension Mission {
  /// The longest objective and result in a list, in characters.
  static let longestSummary = 500

  /// The mission as a list shows it: without its parameters, reasons and former commands, and with long texts cut.
  var summary: Mission {
    var summary = self
    summary.parameters = [:]
    summary.objective = String(objective.prefix(Self.longestSummary))
    summary.intent?.reasons = []
    summary.choice?.candidates = []
    summary.changes = []
    summary.answers = []
    if let text = result?.text { summary.result?.text = String(text.prefix(Self.longestSummary)) }
    return summary
  }
}
