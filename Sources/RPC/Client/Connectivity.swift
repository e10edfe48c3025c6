/// Whether a client has a connection, makes one, or rests after a failure. Pure: it is told the time, in nanoseconds.
///
///     idle ──call──▶ connecting ──SETTINGS──▶ ready ──lost or GOAWAY──▶ idle
///                     │      ▲
///                  failure   └─ the next call, once the rest is over; at once if calls wait for it
///                     ▼      │
///                   resting ─┘
struct Connectivity {
  enum State: Equatable {
    case idle, connecting, ready
    case resting(until: Int64)
    case closed
  }

  enum Decision: Equatable {
    case start
    case wait(connect: Bool)
    case fail
  }

  private(set) var state = State.idle
  /// Why the last attempt failed.
  private(set) var lastError = ""
  private var failures = 0
  private let minimum: Int64
  private let maximum: Int64

  init(minimumBackoff: Int64, maximumBackoff: Int64) {
    minimum = max(1, minimumBackoff)
    maximum = max(minimum, maximumBackoff)
  }

  /// A call that waits for readiness waits through rests; another one fails during a rest.
  mutating func callArrived(waitsForReady: Bool, now: Int64) -> Decision {
    switch state {
    case .ready: return .start
    case .connecting: return .wait(connect: false)
    case .closed: return .fail
    case .resting(let until) where now < until: return waitsForReady ? .wait(connect: false) : .fail
    case .idle, .resting:
      state = .connecting
      return .wait(connect: true)
    }
  }

  mutating func connected() {
    guard state == .connecting else { return }
    state = .ready
    failures = 0
  }

  /// - Parameter spread: -1…1, the random part.
  /// - Returns: How long to rest, in nanoseconds.
  mutating func attemptFailed(_ reason: String, now: Int64, spread: Double) -> Int64 {
    guard state == .connecting else { return 0 }
    lastError = reason
    let doubled = Double(minimum) * Double(1 << min(failures, 30))
    failures += 1
    let rest = Int64(min(doubled, Double(maximum)) * (1 + 0.2 * spread))
    state = .resting(until: now + rest)
    return rest
  }

  /// - Returns: Whether to connect.
  mutating func restEnded(callsWait: Bool) -> Bool {
    guard case .resting = state else { return false }
    state = callsWait ? .connecting : .idle
    return callsWait
  }

  /// The connection in use is gone or takes no more calls.
  /// - Returns: Whether to connect.
  mutating func lost(callsWait: Bool) -> Bool {
    guard state == .ready else { return false }
    state = callsWait ? .connecting : .idle
    return callsWait
  }

  mutating func close() { state = .closed }
}
