/// Growing pauses with jitter, so that a thousand watchers do not come back at the same moment.
struct Backoff: Sendable {
  private static let first: Duration = .milliseconds(50)
  private static let longest: Duration = .seconds(2)
  private var next = Backoff.first

  mutating func reset() { next = Self.first }

  /// Waits between half of the current pause and all of it.
  /// - Throws: `CancellationError`.
  mutating func pause() async throws {
    try await Task.sleep(for: next * Double.random(in: 0.5...1))
    next = min(next * 2, Self.longest)
  }
}
