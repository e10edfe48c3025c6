import Messages
import Storage
import Synchronization

/// A mission that this process has claimed and begun.
struct Claim: Sendable {
  let mission: Mission
  /// The number of the mission's last event, if that is known.
  var sequence: Int64?
  /// The `traceparent` of the call that submitted it; empty if it had none.
  var trace = ""
  let lease: HeldLease
}

/// A lease as its holder's own clock sees it, and what has become of it.
final class HeldLease: Sendable {
  enum Ending: Sendable {
    /// Given back, or dropped with the mission's last change.
    case released
    /// Taken by another process, or expired before it was renewed.
    case lost
  }

  private struct State {
    var liveUntil: ContinuousClock.Instant
    var ending: Ending?
  }

  let lease: Lease
  private let state: Mutex<State>

  /// - Parameter liveUntil: by this process's clock, which need not agree with the database's: counted from before the
  ///   claim was sent, so that the lease ends here no later than there. `ContinuousClock` counts a sleeping machine's
  ///   time.
  init(_ lease: Lease, liveUntil: ContinuousClock.Instant) {
    self.lease = lease
    state = Mutex(State(liveUntil: liveUntil))
  }

  /// Whether it is certain that nobody else can have claimed the mission: asked before an effect begins that no
  /// transaction guards.
  var isLive: Bool { state.withLock { $0.ending == nil && ContinuousClock.now < $0.liveUntil } }

  /// Until when nobody else can claim the mission.
  var liveUntil: ContinuousClock.Instant { state.withLock { $0.liveUntil } }

  var ending: Ending? { state.withLock { $0.ending } }

  func extend(until instant: ContinuousClock.Instant) {
    state.withLock { $0.liveUntil = max($0.liveUntil, instant) }
  }

  /// Only the first ending counts; false for a later one.
  @discardableResult
  func end(_ ending: Ending) -> Bool {
    state.withLock { state in
      guard state.ending == nil else { return false }
      state.ending = ending
      return true
    }
  }

  /// Throws `LeaseLost` where the lease is not live.
  func checkLive() throws {
    guard isLive else { throw LeaseLost(lease: lease) }
  }
}
