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
  /// The longest recipe, recipe version and parent id, in characters.
  static let maximumReference = 100

  let toolNames: [String]
  let currency: String
  /// In micro-units.
  let defaultBudget: Int64
  let approval: ApprovalPolicy

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
      createdAt: GoogleProtobufTimestamp(now), updatedAt: GoogleProtobufTimestamp(now), recipe: request.recipe,
      recipeVersion: request.recipeVersion, parentId: request.parentId)
    var effects = [mission.submitted(at: now)]
    if !request.requireApproval, let reason = approval.approval(of: mission) {
      effects += try mission.apply(.approve(By(actor: By.policy, reason: reason)), at: now)
    }
    return (mission, effects)
  }

  private func check(_ request: SubmitMissionRequest, _ now: Date) throws {
    try check(objective: request.objective)
    try require(
      request.owner.count <= Self.maximumOwner, "the owner's name is longer than \(Self.maximumOwner) characters")
    try require(
      request.idempotencyKey.count <= Self.maximumKey,
      "the idempotency key is longer than \(Self.maximumKey) characters")
    try check(priority: request.priority)
    try check(inputs: request.inputs)
    try check(parameters: request.parameters, labels: request.labels)
    if let budget = request.budget { try check(budget: budget) }
    if let deadline = request.deadline { try check(deadline: deadline, now) }
    try check(tool: request.requestedTool)
    for (name, value) in [
      ("recipe", request.recipe), ("recipe version", request.recipeVersion), ("parent id", request.parentId),
    ] {
      try require(
        value.count <= Self.maximumReference, "the \(name) is longer than \(Self.maximumReference) characters")
    }
  }

  private func check(inputs: [MissionInput]) throws {
    try require(
      inputs.count <= Self.maximumInputs, "\(inputs.count) inputs; at most \(Self.maximumInputs) are taken")
    for (index, input) in inputs.enumerated() {
      try require(!input.artifactId.isEmpty, "input \(index + 1) names no artifact; upload the file first")
      try require(
        max(input.name.count, input.artifactId.count) <= Self.maximumInputName,
        "the name or artifact id of input \(index + 1) is longer than \(Self.maximumInputName) characters")
      try require(
        input.name.unicodeScalars.allSatisfy {
          !"/\\".unicodeScalars.contains($0) && $0.properties.generalCategory != .control
        },
        "the name of input \(index + 1) holds a slash or a control character; it is a file's name without folders")
    }
  }

  func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    guard condition else { throw Status(.invalidArgument, message()) }
  }
}

// MARK: - What a submission and a modification have in common

extension SubmissionRules {
  func check(objective: String) throws {
    let text = objective.trimmingCharacters(in: .whitespacesAndNewlines)
    try require(!text.isEmpty, "the objective is empty")
    try require(
      objective.count <= Self.maximumObjective,
      "the objective has \(objective.count) characters; at most \(Self.maximumObjective) are taken")
  }

  func check(priority: Int32) throws {
    try require(Self.priorities.contains(priority), "priority is \(priority); it must be -100 to 100")
  }

  func check(parameters: [String: String], labels: [String: String]) throws {
    try check(parameters, "parameter")
    try check(labels, "label")
    let entries = [parameters, labels].joined().reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    try require(
      entries <= Self.maximumEntriesBytes,
      "parameters and labels have \(entries) bytes together; at most \(Self.maximumEntriesBytes) are taken")
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

  func check(budget: Money) throws {
    try require(budget.micros >= 0, "the budget is negative")
    try require(
      budget.currency == currency, "the budget is in \"\(budget.currency)\"; this installation counts in \(currency)")
  }

  func check(deadline: GoogleProtobufTimestamp, _ now: Date) throws {
    try require(deadline.isValid, "the deadline is no time of the years 1 to 9999")
    try require(deadline.date > now, "the deadline \(deadline.date.formatted(.iso8601)) has passed already")
  }

  func check(tool: String) throws {
    try require(
      tool.isEmpty || toolNames.contains(tool),
      "there is no tool \"\(tool)\"; there are: \(toolNames.joined(separator: ", "))")
  }
}

extension SubmissionRules {
  /// With a policy that goes by the budget alone.
  init(toolNames: [String], currency: String, defaultBudget: Int64, autoApproveLimit: Int64) {
    self.init(
      toolNames: toolNames, currency: currency, defaultBudget: defaultBudget,
      approval: ApprovalPolicy(maximumBudget: autoApproveLimit))
  }
}
