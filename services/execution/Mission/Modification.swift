import Foundation
import Messages
import RPC

/// What is to be changed of a mission; nil and empty leave as it is.
struct Modification: Sendable, Hashable {
  var objective: String?
  /// Added, or put in the place of those of the same name.
  var setParameters: [String: String] = [:]
  var removeParameters: [String] = []
  var budget: Money?
  var deadline: GoogleProtobufTimestamp?
  var removesDeadline = false
  /// Empty: Buddy chooses.
  var requestedTool: String?
  var priority: Int32?

  /// Policy would not approve what the mission becomes.
  var isBeyondPolicy = false
  /// False where the chosen tool has side effects: once begun it must not begin again for another purpose.
  var mayRunToolAgain = true

  /// The fields of a mission as a change names them.
  enum Field: String, Sendable, CaseIterable {
    case objective, parameters, budget, deadline
    case requestedTool = "requested_tool"
    case priority

    /// The first step that rests on the field.
    var firstStep: Step? {
      switch self {
      case .objective, .requestedTool: .intent
      case .budget: .budget
      case .parameters: .execution
      case .deadline, .priority: nil
      }
    }
  }

  /// Makes the change and tells what is another than before.
  func change(_ mission: inout Mission) -> Set<Field> {
    let before = mission
    if let objective { mission.objective = objective }
    mission.parameters.merge(setParameters) { $1 }
    for name in removeParameters { mission.parameters[name] = nil }
    if let budget { mission.budget = budget }
    if let deadline { mission.deadline = deadline }
    if removesDeadline { mission.deadline = nil }
    if let requestedTool { mission.requestedTool = requestedTool }
    if let priority { mission.priority = priority }
    return mission.fields(otherThanOf: before)
  }
}

extension Mission {
  /// What people have changed since the mission was `former`.
  func fields(otherThanOf former: Mission) -> Set<Modification.Field> {
    var fields: Set<Modification.Field> = []
    if objective != former.objective { fields.insert(.objective) }
    if parameters != former.parameters { fields.insert(.parameters) }
    if budget != former.budget { fields.insert(.budget) }
    if deadline != former.deadline { fields.insert(.deadline) }
    if requestedTool != former.requestedTool { fields.insert(.requestedTool) }
    if priority != former.priority { fields.insert(.priority) }
    return fields
  }

  mutating func modify(
    _ by: By, _ modification: Modification, _ isInterruptible: Bool, _ now: Date
  ) throws -> [Effect] {
    guard !state.isTerminal else { throw refusal("modified") }
    let before = self
    let fields = modification.change(&self)
    guard !fields.isEmpty else { return [] }

    let first = try before.firstStale(fields, budget: budget)
    let stale = first.map(begunSteps(from:)) ?? []
    try checkCanRunAnew(stale, modification)
    let lapses = state != .pendingApproval && before.approvalLapses(fields, to: self, modification)
    let interrupts = runningStep.map { lapses || stale.contains($0) } ?? false
    if interrupts, !isInterruptible {
      throw Status(.failedPrecondition, "mission \(id) runs a tool that cannot be interrupted; pause it first")
    }
    let names = Modification.Field.allCases.filter(fields.contains).map(\.rawValue)
    var rerun = stale
    if interrupts, let running = runningStep, !stale.contains(running) { rerun.append(running) }
    let change = try note(.modify, by, now, stale: rerun, fields: names)
    if interrupts { endRunningStep(.interrupted, now) }
    if let first { forget(from: first, stale) }

    let message = "\(names.joined(separator: ", ")) changed by \(by.text)"
    let hasOtherFacts = facts != before.facts
    if lapses {
      return [enter(.pendingApproval, message + "; needs approval", now, change: change, withFacts: hasOtherFacts)]
    }
    if state == .awaitingInput, question == nil {
      let text = message + "; its question has no point any more"
      return [enter(.running, text, now, change: change, withFacts: hasOtherFacts)] + applyPendingPause(now)
    }
    let step: Step = change.step
    return [event(.missionChanged, step, message, now, change: change, withFacts: hasOtherFacts)]
      + (interrupts ? applyPendingPause(now) : [])
  }
}
