/// Tells a watcher of all missions who reads what was stored before it came from one who falls behind: the first may be
/// as far behind as it likes while it gets nearer, the second only by `maximumLag` positions. Pure.
struct Replay {
  private let maximumLag: UInt64
  /// What was the newest position when this round of the replay began.
  private var goal: UInt64
  /// How many positions lay before the watcher then; 0 once it has been up to date.
  private var distance: UInt64

  init(from position: UInt64, to newest: UInt64, maximumLag: UInt64) {
    self.maximumLag = maximumLag
    goal = newest
    distance = newest > position ? newest - position : 0
  }

  /// Whether a watcher that is at `position` has to leave out what lies before it up to `newest`.
  mutating func mustSkip(at position: UInt64, newest: UInt64) -> Bool {
    let lag = newest > position ? newest - position : 0
    guard lag > maximumLag else {
      distance = 0
      return false
    }
    guard position >= goal || distance == 0 else { return false }
    // A round over at most half of the way of the one before: it will arrive.
    guard lag <= distance / 2 else {
      distance = 0
      return true
    }
    (goal, distance) = (newest, lag)
    return false
  }
}
