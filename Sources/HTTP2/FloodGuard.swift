/// Counts what a hostile peer can send for next to nothing, over windows of time. Pure: it is told the time.
///
/// nghttp2 limits rapid resets itself (`Session.Configuration.resetBurst`); these it lets through: PING and SETTINGS
/// floods while the peer reads, frames without progress, and frames that provoke resets from us (CVE-2025-8671).
package struct FloodGuard: Sendable {
  package struct Limits: Sendable {
    /// The shortest time between two PINGs without data between them, in nanoseconds.
    package var pingInterval: Int64 = 300_000_000_000
    /// PINGs that may come sooner than that.
    package var pingStrikes = 2
    /// SETTINGS frames in a minute.
    package var settingsPerMinute = 10
    /// Frames without progress in ten seconds.
    package var idleFrames = 10_000
    /// Resets the peer provoked in ten seconds.
    package var provokedResets = 100

    package init() {}
  }

  package enum Violation: String, Sendable {
    case pings = "too_many_pings"
    case settings = "too_many_settings"
    case idleFrames = "too_many_frames_without_progress"
    case provokedResets = "too_many_provoked_resets"
  }

  private struct Window {
    var start: Int64 = .min
    var count = 0

    mutating func add(_ number: Int, now: Int64, length: Int64) -> Int {
      if start == .min || now - start >= length { (start, count) = (now, 0) }
      count += number
      return count
    }
  }

  private let limits: Limits
  private var lastPing: Int64?
  private var strikes = 0
  private var settings = Window()
  private var idle = Window()
  private var resets = Window()

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// Data or headers went out: pings may start over, and frames that credit them are not idle.
  package mutating func noteSent() {
    lastPing = nil
    strikes = 0
    idle.count = 0
  }

  /// Takes in the frames of one read.
  /// - Parameters:
  ///   - provoked: Resets that the session had to send.
  ///   - now: Any monotonic clock, in nanoseconds.
  package mutating func note(_ frames: FrameCounts, provoked: Int, now: Int64) -> Violation? {
    let second: Int64 = 1_000_000_000
    if frames.progress > 0 { idle.count = 0 }
    if provoked > 0, resets.add(provoked, now: now, length: 10 * second) > limits.provokedResets {
      return .provokedResets
    }
    if frames.settings > 0, settings.add(frames.settings, now: now, length: 60 * second) > limits.settingsPerMinute {
      return .settings
    }
    if frames.idle > 0, idle.add(frames.idle, now: now, length: 10 * second) > limits.idleFrames {
      return .idleFrames
    }
    return frames.pings > 0 ? notePings(frames.pings, now: now) : nil
  }

  private mutating func notePings(_ number: Int, now: Int64) -> Violation? {
    let isEarly = lastPing.map { now - $0 < limits.pingInterval } ?? false
    strikes += number - (isEarly ? 0 : 1)
    lastPing = now
    return strikes > limits.pingStrikes ? .pings : nil
  }
}
