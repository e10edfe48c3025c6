import Foundation
import Messages

/// What is printed of a mission.
enum MissionReport {
  /// The result as a person wants it: its text, then each artifact with its size and address.
  static func result(_ mission: Mission, address: GatewayAddress) -> String {
    guard let result = mission.result else { return "" }
    var parts: [String] = []
    let text = TerminalText.block(result.text)
    if !text.isEmpty { parts.append(text.last == "\n" ? String(text.dropLast()) : text) }
    if !result.artifacts.isEmpty {
      parts.append(result.artifacts.map { artifact($0, address: address) }.joined(separator: "\n"))
    }
    return parts.joined(separator: "\n\n")
  }

  private static func artifact(_ artifact: ResultArtifact, address: GatewayAddress) -> String {
    "\(TerminalText.line(artifact.name)) (\(SizeText.format(artifact.size)))  "
      + address.artifactContent(artifact.artifactId)
  }

  /// The exit status of a mission that has ended. A passed deadline is told apart: trying again may help.
  static func exit(_ mission: Mission) -> ExitReason {
    switch mission.state {
    case .succeeded: .success
    case .rejected, .cancelled: .refused
    case .failed where mission.error?.code == "DEADLINE_EXCEEDED": .tryAgain
    default: .failed
    }
  }

  /// One line about a mission that did not succeed; nil for one that did.
  static func failure(_ mission: Mission) -> String? {
    guard mission.state != .succeeded else { return nil }
    var line = "mission \(TerminalText.line(mission.id)) \(mission.state.words)"
    guard let error = mission.error else { return line }
    if !error.code.isEmpty { line += ": \(TerminalText.line(error.code))" }
    if !error.message.isEmpty { line += ": \(TerminalText.line(error.message))" }
    return line
  }

  /// Everything there is to know, for `buddy mission show`.
  static func details(_ mission: Mission, address: GatewayAddress) -> String {
    var sections = [facts(mission)]
    if !mission.steps.isEmpty { sections.append(steps(mission)) }
    if !mission.changes.isEmpty { sections.append(changes(mission)) }
    if let choice = mission.choice, !choice.candidates.isEmpty { sections.append(candidates(choice)) }
    let result = result(mission, address: address)
    if !result.isEmpty { sections.append("Result\n\(result)") }
    return sections.joined(separator: "\n\n")
  }

  private static func facts(_ mission: Mission) -> String {
    var rows: [(String, String)] = [
      ("Mission", mission.id), ("Objective", mission.objective),
      ("State", "\(mission.state.label) (\(Int(mission.percent)) %)"), ("Owner", mission.owner),
    ]
    if !mission.recipe.isEmpty { rows.append(("Recipe", "\(mission.recipe) \(mission.recipeVersion)")) }
    if !mission.parentId.isEmpty { rows.append(("Part of", mission.parentId)) }
    if mission.priority != 0 { rows.append(("Priority", String(mission.priority))) }
    rows.append(("Version", String(mission.version)))
    if !mission.waitingFor.isEmpty { rows.append(("Waits for", mission.waitingFor)) }
    if let question = mission.question { rows.append(("Asks", "\(question.prompt)  \(question.id)")) }
    rows += mission.answers.map { ("Answered", answered($0)) }
    rows += mission.inputs.map { ("Input", "\($0.name)  \($0.artifactId)") }
    rows += mission.parameters.sorted { $0.key < $1.key }.map { ("Parameter", "\($0.key)=\($0.value)") }
    rows += mission.labels.sorted { $0.key < $1.key }.map { ("Label", "\($0.key)=\($0.value)") }
    if let intent = mission.intent {
      let confidence = String(format: "%.2f", intent.confidence)
      rows.append(("Intent", "\(intent.name) (confidence \(confidence)) \(intent.reasons.joined(separator: ", "))"))
    }
    if let choice = mission.choice { rows.append(("Tool", "\(choice.tool)  \(choice.reason)")) }
    if let budget = mission.budget { rows.append(("Budget", MoneyText.format(budget))) }
    if let cost = mission.cost { rows.append(("Cost", MoneyText.format(cost))) }
    rows += times(mission)
    if let error = mission.error { rows.append(("Error", "\(error.code): \(error.message)")) }
    return rows.map { TerminalText.padded($0.0, to: 11) + TerminalText.line($0.1) }.joined(separator: "\n")
  }

  private static func times(_ mission: Mission) -> [(String, String)] {
    var rows: [(String, String)] = []
    if let time = mission.createdAt { rows.append(("Created", time.date.formatted(.iso8601))) }
    if let time = mission.deadline { rows.append(("Deadline", time.date.formatted(.iso8601))) }
    if let start = mission.startedAt, let end = mission.finishedAt {
      rows.append(("Took", DurationText.spoken(span(start, end))))
    }
    return rows
  }

  private static func steps(_ mission: Mission) -> String {
    var table = Table(("STEP", .left), ("OUTCOME", .left), ("TOOK", .right), ("MESSAGE", .left))
    for step in mission.steps {
      let took = step.startedAt.flatMap { start in step.endedAt.map { DurationText.spoken(span(start, $0)) } }
      table.add(step.step.label, step.outcome.label, took ?? "-", step.message)
    }
    return table.lines(columns: nil).joined(separator: "\n")
  }

  private static func candidates(_ choice: ToolChoice) -> String {
    var table = Table(
      ("CANDIDATE", .left), ("BASE", .right), ("LEARNED", .right), ("ROI", .right), ("SCORE", .right),
      ("WORST CASE", .right), ("REFUSED", .left))
    for candidate in choice.candidates {
      let figures = [candidate.baseConfidence, candidate.multiplier, candidate.roiFactor, candidate.score]
        .map { String(format: "%.2f", $0) }
      table.add(
        candidate.tool, figures[0], figures[1], figures[2], figures[3], MoneyText.format(candidate.worstCase),
        candidate.refused)
    }
    return table.lines(columns: nil).joined(separator: "\n")
  }

  private static func span(_ start: GoogleProtobufTimestamp, _ end: GoogleProtobufTimestamp) -> Duration {
    .milliseconds(Int64((end.date.timeIntervalSince(start.date) * 1000).rounded()))
  }
}
