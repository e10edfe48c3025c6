import Messages

extension Step {
  /// The six steps in their order.
  static let sequence: [Step] = [.verification, .intent, .budget, .selection, .execution, .finalize]

  /// The part of the mission's percent that the step covers.
  var percentRange: ClosedRange<Double> {
    switch self {
    case .verification: 0...5
    case .intent: 5...30
    case .budget: 30...40
    case .selection: 40...55
    case .execution: 55...80
    case .finalize: 80...100
    case .unspecified, .unrecognized: 0...0
    }
  }

  var next: Step? {
    guard let index = Self.sequence.firstIndex(of: self), index + 1 < Self.sequence.count else { return nil }
    return Self.sequence[index + 1]
  }
}
