extension MissionState {
  /// True for a state that a mission never leaves.
  public var isTerminal: Bool {
    switch self {
    case .succeeded, .failed, .cancelled, .rejected: true
    case .unspecified, .pendingApproval, .approved, .running, .paused, .awaitingInput, .unrecognized: false
    }
  }

  /// The name without what every one begins with: "PENDING_APPROVAL".
  public var label: String { suffix(of: protoName, after: "MISSION_STATE_") }
}

extension Step {
  /// For example "execution"; empty where there is no step.
  public var label: String { self == .unspecified ? "" : suffix(of: protoName, after: "STEP_").lowercased() }
}

extension StepOutcome {
  /// For example "completed"; empty where there is none.
  public var label: String { self == .unspecified ? "" : suffix(of: protoName, after: "STEP_OUTCOME_").lowercased() }
}

extension ProgressEvent {
  /// True if the mission has ended with this event, so that none follows.
  public var isLast: Bool { type == .stateChanged && state.isTerminal }
}

private func suffix(of name: String, after prefix: String) -> String {
  name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
}
