/// Counts what a hostile peer can send for next to nothing, over windows of time. Pure: it is told the time.
///
/// nghttp2 itself counts CONTINUATION frames in a block, entries in a SETTINGS frame and answers that nobody reads;
/// these it lets through, or answers badly: resets, PING and SETTINGS floods while the peer reads, frames without
/// progress, and frames that provoke resets from us (CVE-2025-8671).
package struct FloodGuard: Sendable {
  package struct Limits: Sendable {
    /// Resets the peer may send at once, and per second after that (rapid reset, CVE-2023-44487). Nil for a server:
    /// it may reset what it was sent, and its resets count as frames.
    package var resets: (burst: Int, perSecond: Int)? = (200, 20)
    /// The shortest time between two PINGs without data between them, in nanoseconds.
    package var pingInterval: Int64 = 300_000_000_000
    /// PINGs that may come sooner than that. Nil: PINGs count as frames without progress.
    package var pingStrikes: Int? = 2
    /// SETTINGS frames in a minute; at least 1, with which every connection begins.
    package var settingsPerMinute = 10
    /// Frames without progress in ten seconds; at least 10, for SETTINGS are acknowledged and windows opened.
    package var idleFrames = 10_000
    /// Resets the peer provoked in ten seconds.
    package var provokedResets = 100

    package init() {}
  }

  package enum Violation: String, Sendable {
    case resets = "too_many_resets"
    case pings = "too_many_pings"
    case settings = "too_many_settings"
    case idleFrames = "too_many_frames_without_progress"
    case provokedResets = "too_many_provoked_resets"
  }

  /// Frames that go with one that moves something forward: a receiver of DATA credits its stream and the connection.
  /// Not more, or a flood would only have to hide one byte of DATA in every thousand frames.
  private static let companions = 4
  private static let second: Int64 = 1_000_000_000

  private struct Window {
    var start: Int64 = .min
    var count = 0

    /// - Parameter number: Below zero for what makes good for others; the count does not fall below zero.
    mutating func add(_ number: Int, now: Int64, length: Int64) -> Int {
      if start == .min || now - start >= length { (start, count) = (now, 0) }
      count = max(0, count + number)
      return count
    }
  }

  private var limits: Limits
  private var lastPing: Int64?
  private var strikes = 0
  private var settings = Window()
  private var idle = Window()
  private var provoked = Window()
  /// Resets beyond what time has made good for, in billionths.
  private var resetDebt: Int64 = 0
  private var lastReset: Int64 = 0

  package init(limits: Limits = Limits()) {
    self.limits = limits
    self.limits.settingsPerMinute = max(1, limits.settingsPerMinute)
    self.limits.idleFrames = max(10, limits.idleFrames)
  }

  /// Takes in the frames of one read or write.
  /// - Parameters:
  ///   - provoked: Resets that the session had to send.
  ///   - sent: DATA and HEADERS that went out: pings may start over, and the frames that credit them are not idle.
  ///   - now: Any monotonic clock, in nanoseconds.
  package mutating func note(_ frames: FrameCounts, provoked resets: Int, sent: Int, now: Int64) -> Violation? {
    if sent > 0 { (lastPing, strikes) = (nil, 0) }
    if resets > 0, provoked.add(resets, now: now, length: 10 * Self.second) > limits.provokedResets {
      return .provokedResets
    }
    if frames.resets > 0, let limit = limits.resets, noteResets(frames.resets, limit, now: now) { return .resets }
    if frames.settings > 0 {
      let count = settings.add(frames.settings, now: now, length: 60 * Self.second)
      if count > limits.settingsPerMinute { return .settings }
    }
    if frames.pings > 0, let limit = limits.pingStrikes, notePings(frames.pings, limit, now: now) { return .pings }
    return noteIdle(frames, sent: sent, now: now) ? .idleFrames : nil
  }

  private mutating func noteIdle(_ frames: FrameCounts, sent: Int, now: Int64) -> Bool {
    var number = frames.others - frames.progress
    if limits.resets == nil { number += frames.resets }
    if limits.pingStrikes == nil { number += frames.pings }
    number -= Self.companions * (frames.progress + sent)
    guard number > 0 || idle.count > 0 else { return false }
    return idle.add(number, now: now, length: 10 * Self.second) > limits.idleFrames
  }

  /// A bucket that leaks `perSecond` resets a second.
  private mutating func noteResets(_ number: Int, _ limit: (burst: Int, perSecond: Int), now: Int64) -> Bool {
    let elapsed = min(now - lastReset, 3_600 * Self.second)
    let forgiven = elapsed * Int64(max(0, min(limit.perSecond, 1_000_000)))
    resetDebt = max(0, resetDebt - forgiven) + Int64(number) * Self.second
    lastReset = now
    return resetDebt > Int64(max(0, min(limit.burst, 1_000_000_000))) * Self.second
  }

  private mutating func notePings(_ number: Int, _ limit: Int, now: Int64) -> Bool {
    let isEarly = lastPing.map { now - $0 < limits.pingInterval } ?? false
    strikes += number - (isEarly ? 0 : 1)
    lastPing = now
    return strikes > limit
  }
}
