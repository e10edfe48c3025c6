import Foundation
import Messages
import RPC

/// What a modification takes from steps that have run, and from the approval.
extension Mission {
  /// The most that the ledger holds for the mission; nil where it holds nothing.
  var reserved: Int64? { choice?.candidates.filter(\.refused.isEmpty).compactMap(\.worstCase).map(\.micros).max() }

  /// The first step that rests on one of the fields.
  ///
  /// Throws `Status` FAILED_PRECONDITION where what a tool has done already may cost more than the new budget.
  func firstStale(_ fields: Set<Modification.Field>, budget: Money?) throws -> Step? {
    var fields = fields
    if fields.contains(.budget), isCompleted(.budget), (reserved ?? 0) <= (budget?.micros ?? .max) {
      fields.remove(.budget)
    }
    if fields.contains(.budget), isCompleted(.execution) {
      throw Status(
        .failedPrecondition, "the tool of mission \(id) has run, and may have cost up to \(reserved ?? 0) micros")
    }
    return Step.sequence.first { step in fields.contains { $0.firstStep == step } }
  }

  /// The steps from `first` on that have begun and count.
  func begunSteps(from first: Step) -> [Step] {
    let counting: Set<StepOutcome> = [.running, .completed, .interrupted]
    return Step.sequence.drop { $0 != first }.filter { step in
      steps.contains { $0.step == step && counting.contains($0.outcome) }
    }
  }

  /// Throws `Status` FAILED_PRECONDITION where a step must not run a second time.
  func checkCanRunAnew(_ stale: [Step], _ modification: Modification) throws {
    guard !stale.isEmpty else { return }
    if stale.contains(.finalize) {
      throw Status(.failedPrecondition, "the result of mission \(id) is being stored; only cancelling it is left")
    }
    if hasBegunTool, !modification.mayRunToolAgain {
      throw Status(
        .failedPrecondition,
        "the tool \(choice?.tool ?? "") of mission \(id) has side effects and has begun; it cannot begin anew")
    }
  }

  /// Whether the tool that is chosen now has been called.
  private var hasBegunTool: Bool {
    guard let call = steps.lastIndex(where: { $0.step == .execution }),
      let selection = steps.lastIndex(where: { $0.step == .selection && $0.outcome == .completed })
    else { return false }
    return call > selection
  }

  /// Takes back what the steps from `first` on came to.
  mutating func forget(from first: Step, _ stale: [Step]) {
    for index in steps.indices where stale.contains(steps[index].step) && steps[index].outcome == .completed {
      steps[index].outcome = .stale
    }
    if first == .intent { intent = nil }
    if first == .intent || first == .budget { choice = nil }
    if let asked = question?.step, Step.sequence.drop(while: { $0 != first }).contains(asked) { question = nil }
  }

  /// Whether the modified mission needs to be approved anew.
  ///
  /// What policy approved stays approved as long as policy would approve it. A person has approved this objective, this
  /// tool and this budget; parameters too, where it was not for policy to approve them.
  func approvalLapses(
    _ fields: Set<Modification.Field>, to changed: Mission, _ modification: Modification
  ) -> Bool {
    let isOfSubstance = !fields.isDisjoint(with: [.objective, .parameters, .budget, .requestedTool])
    guard isApprovedByPerson else { return modification.isBeyondPolicy && isOfSubstance }
    if !fields.isDisjoint(with: [.objective, .requestedTool]) { return true }
    if fields.contains(.parameters), modification.isBeyondPolicy { return true }
    return fields.contains(.budget) && (changed.budget?.micros ?? .max) > (budget?.micros ?? .max)
  }

  private func isCompleted(_ step: Step) -> Bool {
    steps.contains { $0.step == step && $0.outcome == .completed }
  }
}
