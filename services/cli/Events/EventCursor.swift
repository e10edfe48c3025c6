import Messages

/// Which events of a mission were shown, so that none is shown twice and none is left out.
struct EventCursor: Sendable, Hashable {
  enum Verdict: Hashable {
    /// The next one: show it.
    case show
    /// Seen before: pass it over.
    case duplicate
    /// Events are missing before it: ask again from `sequence`.
    case gap
  }

  /// Sequence of the last event shown; 0 before the first.
  private(set) var sequence: UInt64

  init(after sequence: UInt64 = 0) { self.sequence = sequence }

  mutating func take(_ event: ProgressEvent) -> Verdict {
    if event.sequence <= sequence { return .duplicate }
    guard event.sequence == sequence + 1 else { return .gap }
    sequence = event.sequence
    return .show
  }
}

/// How long to go on trying while a gateway cannot be reached. Pure: it is told what time it is.
struct ReconnectPolicy: Sendable {
  /// From the last sign of life to giving up.
  var limit = Duration.seconds(60)
  var firstPause = Duration.milliseconds(200)
  var longestPause = Duration.seconds(2)

  private var pause: Duration?
  private var lastSign: ContinuousClock.Instant

  init(now: ContinuousClock.Instant, limit: Duration = .seconds(60)) {
    self.limit = limit
    lastSign = now
  }

  /// Bytes arrived: the gateway lives.
  mutating func alive(at now: ContinuousClock.Instant) {
    lastSign = now
    pause = nil
  }

  /// True if the gateway said something since the last failure.
  var isAlive: Bool { pause == nil }

  /// How long to wait before the next attempt; nil once the limit is reached.
  mutating func failed(at now: ContinuousClock.Instant) -> Duration? {
    let left = limit - (now - lastSign)
    guard left > .zero else { return nil }
    let next = pause.map { min($0 * 2, longestPause) } ?? firstPause
    pause = next
    return min(next, left)
  }
}
