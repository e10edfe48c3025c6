/// Disfavoured, so that a module that has words of its own for a state is not in doubt which ones it means.
extension MissionState {
  /// True for a state that a mission never leaves.
  @_disfavoredOverload
  public var isTerminal: Bool {
    switch self {
    case .succeeded, .failed, .cancelled, .rejected: true
    case .unspecified, .pendingApproval, .approved, .running, .paused, .awaitingInput, .unrecognized: false
    }
  }

  /// The name without what every one begins with: "PENDING_APPROVAL".
  @_disfavoredOverload
  public var label: String {
    let prefix = "MISSION_STATE_"
    let name = protoName
    return name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
  }
}
