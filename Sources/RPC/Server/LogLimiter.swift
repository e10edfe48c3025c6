import NIOConcurrencyHelpers

/// Lets through so many lines a second, and says later how many it kept back: peers must not be able to fill a disk.
package final class LogLimiter: Sendable {
  private struct State {
    var second: Int64 = .min
    var count = 0
    var leftOut = 0
  }
  private let state = NIOLockedValueBox(State())
  private let linesPerSecond: Int

  package init(linesPerSecond: Int) { self.linesPerSecond = linesPerSecond }

  package func admit() -> (isLogged: Bool, leftOut: Int) { admit(now: Deadline.now) }

  /// - Parameter now: Any monotonic clock, in nanoseconds.
  /// - Returns: Whether a line may be logged now, and how many before it were left out that nobody was told of.
  func admit(now: Int64) -> (isLogged: Bool, leftOut: Int) {
    state.withLockedValue { state in
      var leftOut = 0
      if now / 1_000_000_000 != state.second {
        leftOut = state.leftOut
        state = State(second: now / 1_000_000_000)
      }
      state.count += 1
      guard state.count <= linesPerSecond else {
        state.leftOut += 1
        return (false, leftOut)
      }
      return (true, leftOut)
    }
  }
}
