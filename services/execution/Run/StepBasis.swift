import Messages

/// What a step was worked out on.
///
/// A run goes on ahead of its commits, so a command may change a mission whose run is a step or two further than what is
/// stored: there is nothing to interrupt then. The step's end is compared with what is stored instead.
struct StepBasis: Sendable {
  let step: Step
  /// As the step has read it.
  let mission: Mission

  /// Throws `StepOutdated` where the step rests on a field that has another value by now.
  func check(against stored: Mission) throws {
    let outdated = stored.fields(otherThanOf: mission).filter { field in
      guard let first = field.firstStep else { return false }
      // What is reserved is compared with a new budget when that is set; a selection by what was reserved still counts.
      return field == .budget ? step == first : !step.isBefore(first)
    }
    guard outdated.isEmpty else { throw StepOutdated(step: step) }
  }
}

/// A step's end that does not count: what the step rests on was changed since it began. It is to begin anew.
struct StepOutdated: Error, Hashable {
  let step: Step
}

extension Step {
  fileprivate func isBefore(_ other: Step) -> Bool {
    let sequence = Step.sequence
    guard let own = sequence.firstIndex(of: self), let limit = sequence.firstIndex(of: other) else { return false }
    return own < limit
  }
}
