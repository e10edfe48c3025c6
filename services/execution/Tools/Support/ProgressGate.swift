import Synchronization

/// Thins progress out: a fraction passes if it is the first, the last or far enough above the one before, and never
/// falls. What listens stores every report, so a tool must not report every block it reads.
final class ProgressGate: Sendable {
  private let last = Mutex(-1.0)
  private let step: Double

  init(step: Double = 0.02) { self.step = step }

  func admits(_ fraction: Double) -> Bool {
    last.withLock { last in
      guard fraction >= last + step || (fraction >= 1 && last < 1) else { return false }
      last = fraction
      return true
    }
  }
}
