import Dispatch
import Synchronization

/// Stops the writer between two of its transactions: what waits then waits on, and none of it is lost.
///
///     waiting ──writer's thread──▶ holding ──release──▶ over
///        └──────────release──────────┴──limit passes──▶ over, expired
final class WriterPause: Sendable {
  private enum Phase {
    case waiting, holding
    case over(isExpired: Bool)
  }

  let limit: Duration
  private let expired: @Sendable () -> Void
  private let phase = Mutex(Phase.waiting)
  private let begun = Latch()
  private let released = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - limit: After this long the writer goes on by itself …
  ///   - expired: … and this is called, on its thread.
  init(limit: Duration, expired: @escaping @Sendable () -> Void) {
    self.limit = limit
    self.expired = expired
  }

  /// Returns once the writer is held; throws what kept that from happening.
  func reached() async throws { try await begun.outcome() }

  func fail(_ error: any Error) { begun.open(error) }

  /// Runs on the writer's thread and returns when that may go on.
  func block() {
    let holds = phase.withLock { phase in
      guard case .waiting = phase else { return false }
      phase = .holding
      return true
    }
    begun.open()
    guard holds, released.wait(timeout: .now() + .nanoseconds(limit.nanoseconds)) == .timedOut else { return }
    if end(isExpired: true) { expired() }
  }

  /// Lets the writer go on. False where it had gone on by itself: then the moment that was held has passed.
  @discardableResult
  func release() -> Bool {
    guard end(isExpired: false) else {
      return phase.withLock { if case .over(isExpired: true) = $0 { false } else { true } }
    }
    released.signal()
    return true
  }

  /// Whether it was this call that ended it.
  private func end(isExpired: Bool) -> Bool {
    phase.withLock { phase in
      if case .over = phase { return false }
      phase = .over(isExpired: isExpired)
      return true
    }
  }
}

extension Duration {
  fileprivate var nanoseconds: Int {
    let (seconds, attoseconds) = components
    return Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
  }
}
