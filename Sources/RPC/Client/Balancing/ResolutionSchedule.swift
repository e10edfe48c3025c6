/// When a name is resolved again: after connections were lost or failed, and every now and then, but not all the time.
/// Pure: it is told the time, in nanoseconds.
struct ResolutionSchedule {
  enum Decision: Equatable {
    case resolve
    /// Ask again then.
    case later(Int64)
    /// It is under way, or planned.
    case nothing
  }

  private let minimumInterval: Int64
  private(set) var isUnderWay = false
  private var isPlanned = false
  /// The last answer. A failure does not count: whoever needs the addresses rests by itself.
  private var lastAnswer: Int64?

  init(minimumInterval: Int64) { self.minimumInterval = max(0, minimumInterval) }

  mutating func request(now: Int64) -> Decision {
    guard !isUnderWay, !isPlanned else { return .nothing }
    if let lastAnswer, now - lastAnswer < minimumInterval {
      isPlanned = true
      return .later(minimumInterval - (now - lastAnswer))
    }
    isUnderWay = true
    return .resolve
  }

  /// What `.later` asked for.
  /// - Parameter isNeeded: Whether anybody still wants to know.
  /// - Returns: Whether to resolve.
  mutating func planDue(isNeeded: Bool) -> Bool {
    guard isPlanned else { return false }
    isPlanned = false
    guard isNeeded, !isUnderWay else { return false }
    isUnderWay = true
    return true
  }

  mutating func ended(withAnswer: Bool, now: Int64) {
    isUnderWay = false
    if withAnswer { lastAnswer = now }
  }
}
