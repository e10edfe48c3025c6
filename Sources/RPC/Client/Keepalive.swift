/// When to ask the server whether it is still there, and when to take it for gone (gRFC A8). Pure: it is told the time,
/// in nanoseconds.
struct Keepalive {
  enum Action: Equatable {
    /// Check again after so many nanoseconds.
    case wait(Int64)
    /// Send a PING, and check again then.
    case ping(Int64)
    /// No call needs the server: check again when one begins.
    case rest
    /// Nothing came after the PING.
    case close
  }

  /// How often is looked whether anything came, in parts of the interval.
  private static let looks: Int64 = 4

  private let interval: Int64
  private let timeout: Int64
  private let withoutCalls: Bool
  private var lastHeard: Int64
  private var pingSent: Int64?

  init(interval: Int64, timeout: Int64, withoutCalls: Bool, now: Int64) {
    self.interval = max(1_000_000, interval)
    self.timeout = max(1_000_000, timeout)
    self.withoutCalls = withoutCalls
    lastHeard = now
  }

  /// - Parameters:
  ///   - hasHeard: Anything at all came since the last check. What we send ourselves is no sign of life.
  ///   - isInUse: Calls are open.
  mutating func check(hasHeard: Bool, isInUse: Bool, now: Int64) -> Action {
    if hasHeard {
      lastHeard = now
      pingSent = nil
    }
    if let pingSent { return now - pingSent >= timeout ? .close : .wait(min(interval, timeout - (now - pingSent))) }
    let silent = now - lastHeard
    if silent < interval { return .wait(min(interval - silent, interval / Self.looks)) }
    guard isInUse || withoutCalls else { return .rest }
    pingSent = now
    // An answer may come long before the timeout: the next PING is due an interval after it.
    return .ping(min(interval, timeout))
  }
}
