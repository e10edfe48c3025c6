import Foundation
import Messages
import RPC
import ServiceKit

/// What a submission must be like, and what a mission made of it starts as.
struct SubmissionRules: Sendable {
  static let maximumObjective = 10_000
  static let maximumOwner = 100
  static let maximumKey = 200
  static let maximumInputs = 32
  /// How many parameters or labels.
  static let maximumEntries = 64
  /// The longest name and value of a parameter or label, in characters.
  static let maximumEntryName = 100
  static let maximumEntryValue = 10_000
  /// Parameters and labels together, in bytes.
  static let maximumEntriesBytes = 256 * 1_024
  /// The longest name and artifact id of an input, in characters.
  static let maximumInputName = 255
  static let priorities: ClosedRange<Int32> = -100...100

  let toolNames: [String]
  let currency: String
  /// In micro-units.
  let defaultBudget: Int64
  /// Missions with a budget up to this are approved at once, in micro-units.
  let autoApproveLimit: Int64

  /// The mission a request makes, with what follows from it.
  ///
  /// Throws `Status` INVALID_ARGUMENT with the first thing that is wrong.
  func mission(from request: SubmitMissionRequest, now: Date) throws -> (mission: Mission, effects: [Effect]) {
    try check(request, now)
    var mission = Mission(
      id: Identifier.make(), objective: request.objective, state: .pendingApproval,
      owner: request.owner.isEmpty ? "anonymous" : request.owner, inputs: request.inputs,
      parameters: request.parameters, labels: request.labels, priority: request.priority,
      budget: request.budget ?? Money(micros: defaultBudget, currency: currency), deadline: request.deadline,
      requestedTool: request.requestedTool, idempotencyKey: request.idempotencyKey,
      createdAt: GoogleProtobufTimestamp(now), updatedAt: GoogleProtobufTimestamp(now))
    var effects = [mission.submitted(at: now)]
    if !request.requireApproval, let budget = mission.budget, budget.micros <= autoApproveLimit, autoApproveLimit > 0 {
      effects += try mission.apply(.approve(actor: "policy (budget \(budget.display))"), at: now)
    }
    return (mission, effects)
  }

  private func check(_ request: SubmitMissionRequest, _ now: Date) throws {
    let objective = request.objective.trimmingCharacters(in: .whitespacesAndNewlines)
    try require(!objective.isEmpty, "the objective is empty")
    try require(
      request.objective.count <= Self.maximumObjective,
      "the objective has \(request.objective.count) characters; at most \(Self.maximumObjective) are taken")
    try require(
      request.owner.count <= Self.maximumOwner, "the owner's name is longer than \(Self.maximumOwner) characters")
    try require(
      request.idempotencyKey.count <= Self.maximumKey,
      "the idempotency key is longer than \(Self.maximumKey) characters")
    try require(
      Self.priorities.contains(request.priority), "priority is \(request.priority); it must be -100 to 100")
    try require(
      request.inputs.count <= Self.maximumInputs,
      "\(request.inputs.count) inputs; at most \(Self.maximumInputs) are taken")
    for (index, input) in request.inputs.enumerated() {
      try require(!input.artifactId.isEmpty, "input \(index + 1) names no artifact; upload the file first")
      try require(
        max(input.name.count, input.artifactId.count) <= Self.maximumInputName,
        "the name or artifact id of input \(index + 1) is longer than \(Self.maximumInputName) characters")
    }
    try check(request.parameters, "parameter")
    try check(request.labels, "label")
    let entries = [request.parameters, request.labels].joined().reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    try require(
      entries <= Self.maximumEntriesBytes,
      "parameters and labels have \(entries) bytes together; at most \(Self.maximumEntriesBytes) are taken")
    if let budget = request.budget {
      try require(budget.micros >= 0, "the budget is negative")
      try require(
        budget.currency == currency, "the budget is in \"\(budget.currency)\"; this installation counts in \(currency)")
    }
    if let deadline = request.deadline {
      try require(deadline.date > now, "the deadline \(deadline.date.formatted(.iso8601)) has passed already")
    }
    try require(
      request.requestedTool.isEmpty || toolNames.contains(request.requestedTool),
      "there is no tool \"\(request.requestedTool)\"; there are: \(toolNames.joined(separator: ", "))")
  }

  private func check(_ entries: [String: String], _ kind: String) throws {
    try require(entries.count <= Self.maximumEntries, "\(entries.count) \(kind)s; at most \(Self.maximumEntries)")
    for (name, value) in entries {
      try require(
        (1...Self.maximumEntryName).contains(name.count),
        "a \(kind)'s name has 1 to \(Self.maximumEntryName) characters, not \(name.count)")
      try require(
        value.count <= Self.maximumEntryValue,
        "the \(kind) \"\(name)\" is longer than \(Self.maximumEntryValue) characters")
    }
  }

  private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    guard condition else { throw Status(.invalidArgument, message()) }
  }
}
