import Foundation
import Messages

/// What a modification must be like.
extension SubmissionRules {
  /// The modification that a request asks for, of the mission as it is.
  ///
  /// - Parameter mayRunToolAgain: as of `Modification`.
  ///
  /// Throws `Status` INVALID_ARGUMENT with the first thing that is wrong.
  func modification(
    from request: ModifyMissionRequest, of mission: Mission, mayRunToolAgain: Bool, now: Date
  ) throws -> Modification {
    var modification = Modification(
      objective: request.objective?.value, setParameters: request.setParameters,
      removeParameters: request.removeParameters, budget: request.budget, deadline: request.deadline,
      removesDeadline: request.removeDeadline, requestedTool: request.requestedTool?.value,
      priority: request.priority?.value)
    try require(modification != Modification(), "the request names nothing to change")
    modification.mayRunToolAgain = mayRunToolAgain
    try check(modification, now)
    var changed = mission
    _ = modification.change(&changed)
    try check(parameters: changed.parameters, labels: changed.labels)
    modification.isBeyondPolicy = approval.approval(of: changed) == nil
    return modification
  }

  private func check(_ modification: Modification, _ now: Date) throws {
    if let objective = modification.objective { try check(objective: objective) }
    if let budget = modification.budget { try check(budget: budget) }
    if let priority = modification.priority { try check(priority: priority) }
    if let tool = modification.requestedTool { try check(tool: tool) }
    if let deadline = modification.deadline {
      try check(deadline: deadline, now)
      try require(!modification.removesDeadline, "the deadline is to be set and to be removed")
    }
    try require(
      modification.removeParameters.count <= Self.maximumEntries,
      "\(modification.removeParameters.count) parameters to remove; at most \(Self.maximumEntries)")
    for name in modification.removeParameters {
      try require(modification.setParameters[name] == nil, "the parameter \"\(name)\" is to be set and to be removed")
    }
  }
}
