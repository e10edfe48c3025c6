/// Whether there is a connection, one is made, or a rest taken after a failure: of one address (round robin), or of a
/// list of them as a whole (pick first). Pure: it is told the time, in nanoseconds.
///
///     idle ──begin──▶ connecting ──SETTINGS──▶ ready ──lost or GOAWAY──▶ idle
///       ▲               │
///       │            failure
///    rest over          ▼
///       └──────────── resting
struct Reconnection {
  enum State: Equatable {
    case idle, connecting
    case ready(since: Int64)
    case resting(until: Int64)
  }

  private(set) var state = State.idle
  private var backoff: Backoff
  /// After a connection that ends sooner than this the next one is made only after the shortest rest.
  private let shortLife: Int64
  private var notBefore = Int64.min

  init(backoff: Backoff, shortLife: Int64) {
    self.backoff = backoff
    self.shortLife = shortLife
  }

  init(_ options: ClientOptions) {
    self.init(backoff: Backoff(options), shortLife: options.minimumBackoff.nanoseconds)
  }

  var isReady: Bool { if case .ready = state { true } else { false } }
  var isResting: Bool { if case .resting = state { true } else { false } }

  /// - Returns: In how many nanoseconds to connect; nil unless idle.
  mutating func begin(now: Int64) -> Int64? {
    guard state == .idle else { return nil }
    state = .connecting
    return max(0, notBefore == .min ? 0 : notBefore - now)
  }

  /// Something new to try has turned up during a rest.
  mutating func cutRestShort() {
    if isResting { state = .idle }
  }

  mutating func connected(now: Int64) {
    guard state == .connecting else { return }
    state = .ready(since: now)
  }

  /// - Returns: How long to rest.
  mutating func failed(now: Int64, spread: Double) -> Int64 {
    let rest = backoff.rest(spread: spread)
    state = .resting(until: now + rest)
    return rest
  }

  /// - Returns: Whether there was a rest that is over now.
  mutating func restEnded(now: Int64) -> Bool {
    guard case .resting(let until) = state, now >= until else { return false }
    state = .idle
    return true
  }

  /// The connection is gone or takes no more calls. The next attempt comes when it is asked for, at once, save where
  /// the connection did not live long: a server that closes every one must not be connected to in a tight loop.
  ///
  /// - Parameter wasUseful: A call was answered on it. Where none was, the rests grow as those after failures do.
  mutating func lost(_ wasUseful: Bool, now: Int64, spread: Double) {
    guard case .ready(let since) = state else { return }
    let isShort = now - since < shortLife
    if wasUseful || !isShort { backoff.reset() }
    notBefore = isShort ? now + backoff.rest(spread: spread) : .min
    if wasUseful || !isShort { backoff.reset() }
    state = .idle
  }

  /// Nobody needs it.
  mutating func stop() {
    state = .idle
    backoff.reset()
    notBefore = .min
  }
}
