/// Growing pauses between attempts: doubled each time up to a limit, then shortened by up to a half at random, so
/// that many who failed together do not come back together.
public struct Backoff: Sendable, Hashable {
  public var first: Duration
  public var limit: Duration

  public init(first: Duration = .milliseconds(50), limit: Duration = .seconds(2)) {
    self.first = first
    self.limit = limit
  }

  /// - Parameter failures: In a row, from 1.
  public func delay(afterFailures failures: Int) -> Duration {
    let doublings = min(max(failures - 1, 0), 20)
    let full = min(first * (1 << doublings), limit)
    return full * Double.random(in: 0.5...1)
  }
}
