import Messages

/// What a command on a mission did, in one line.
enum CommandReport {
  /// `m-1 PAUSED: paused at execution; it begins anew after the resume`.
  /// - Parameter requestID: tells the command from others that came after it.
  static func line(_ mission: Mission, requestID: String) -> String {
    let head = "\(TerminalText.line(mission.id)) \(mission.state.label)"
    // What changed nothing (a pause of what is paused) is not among the changes.
    guard let change = mission.changes.last(where: { $0.requestId == requestID }) else { return head }
    let text = effect(change, of: mission)
    return text.isEmpty ? head : "\(head): \(text)"
  }

  /// What it did or will do, without who and when.
  /// - Parameter mission: as the command left it; nil if it has gone on since.
  static func effect(_ change: MissionChange, of mission: Mission?) -> String {
    let step = change.step.label
    switch change.command {
    case .approve: return "approved"
    case .reject: return "rejected"
    case .cancel: return step.isEmpty ? "cancelled before it began" : "cancelled at \(step)"
    case .answer: return step.isEmpty ? "answered" : "answered; goes on with \(step)"
    case .pause: return pause(change, step)
    case .resume: return step.isEmpty ? "resumed" : "resumed; goes on with \(step)"
    case .modify: return modify(change, of: mission, step)
    case .unspecified, .unrecognized: return ""
    }
  }

  private static func pause(_ change: MissionChange, _ step: String) -> String {
    if step.isEmpty { return "paused before it began" }
    if !change.applied { return "pauses when \(step) ends" }
    let beginsAnew = change.staleSteps.contains(change.step)
    return "paused at \(step)" + (beginsAnew ? "; it begins anew after the resume" : "")
  }

  private static func modify(_ change: MissionChange, of mission: Mission?, _ step: String) -> String {
    var parts = ["modified" + (change.fields.isEmpty ? "" : ": \(list(change.fields.map(words)))")]
    if !change.applied { parts.append("applied when \(step) ends") }
    let stale = change.staleSteps.map(\.label)
    if !stale.isEmpty { parts.append("\(list(stale)) \(stale.count == 1 ? "runs" : "run") anew") }
    if mission?.state == .pendingApproval { parts.append("waits for approval") }
    return parts.joined(separator: "; ")
  }

  /// `a, b and c`.
  static func list(_ words: [String]) -> String {
    let words = words.map(TerminalText.line)
    guard words.count > 1, let last = words.last else { return words.first ?? "" }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }

  /// `requested_tool` and `requestedTool` are "tool" for a person.
  private static func words(_ field: String) -> String {
    ["requested_tool", "requestedTool"].contains(field) ? "tool" : field
  }
}
