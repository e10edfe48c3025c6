import NIOConcurrencyHelpers

/// Lets through so many lines a second, and says later how many it kept back: who is cut off must not fill a disk.
final class LogLimiter: Sendable {
  private struct State {
    var second: Int64 = .min
    var count = 0
    var dropped = 0
  }
  private let state = NIOLockedValueBox(State())
  private let linesPerSecond: Int
  private let write: @Sendable (String) -> Void

  init(linesPerSecond: Int, _ write: @escaping @Sendable (String) -> Void) {
    self.linesPerSecond = linesPerSecond
    self.write = write
  }

  /// - Parameter now: Any monotonic clock, in nanoseconds.
  func log(_ line: String, now: Int64) {
    let (isLogged, dropped) = state.withLockedValue { state -> (Bool, Int) in
      var dropped = 0
      if now / 1_000_000_000 != state.second {
        dropped = state.dropped
        state = State(second: now / 1_000_000_000)
      }
      state.count += 1
      guard state.count <= linesPerSecond else {
        state.dropped += 1
        return (false, dropped)
      }
      return (true, dropped)
    }
    if dropped > 0 { write("\(dropped) more lines about connections were left out") }
    if isLogged { write(line) }
  }
}
