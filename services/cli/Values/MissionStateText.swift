import Messages

/// Mission states, steps and outcomes by the names people use: `pending-approval`, `execution`, `completed`.
extension MissionState {
  /// Takes `running`, `RUNNING`, `pending-approval`, `pending_approval` and the proto name.
  init?(text: String) {
    let wanted = Self.normalized(text)
    guard let match = Self.allKnown.first(where: { $0 != .unspecified && Self.normalized($0.protoName) == wanted })
    else { return nil }
    self = match
  }

  /// `PENDING_APPROVAL`: what the gateway takes in a query, and what lists show.
  var shortName: String { protoSuffix(protoName, after: "MISSION_STATE_") }

  /// `pending approval`: in a sentence.
  var label: String { shortName.lowercased().replacing("_", with: " ") }

  /// Nothing happens to a mission in this state any more.
  var isFinal: Bool {
    switch self {
    case .succeeded, .failed, .cancelled, .rejected: true
    default: false
    }
  }

  /// `pending-approval` and so on, for help texts and errors.
  static var choices: String {
    allKnown.filter { $0 != .unspecified }.map { $0.label.replacing(" ", with: "-") }.joined(separator: ", ")
  }

  private static func normalized(_ text: String) -> String {
    protoSuffix(text.uppercased().replacing("-", with: "_"), after: "MISSION_STATE_")
  }
}

extension Step {
  /// `execution`; empty where there is no step.
  var label: String { self == .unspecified ? "" : protoSuffix(protoName, after: "STEP_").lowercased() }
}

extension StepOutcome {
  var label: String { self == .unspecified ? "" : protoSuffix(protoName, after: "STEP_OUTCOME_").lowercased() }
}

private func protoSuffix(_ name: String, after prefix: String) -> String {
  name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
}
