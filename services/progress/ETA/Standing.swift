import Foundation
import Messages

/// Where a running mission stands. All times are active seconds: what passed while it was held does not count.
struct Standing: Sendable, Hashable {
  /// The step it is in or comes to next: 0 for verification to 5 for finalize.
  var step: Int
  /// How long the step has been running.
  var inStep: Double
  /// Since the mission first ran.
  var elapsed: Double
  /// 0 to 100.
  var percent: Double
  /// How old the tool's last report of its progress is.
  var sinceReport = 0.0

  /// Seconds: no estimate is longer, whatever clocks and tools say. Thirty years.
  static let longest = 1e9

  /// How much of a step is done when the mission is at `percent`, 0 to 1.
  static func fraction(of percent: Double, in step: Int) -> Double {
    let (lower, upper) = (MissionClock.bounds[step], MissionClock.bounds[step + 1])
    return min(max((percent - lower) / (upper - lower), 0), 1)
  }

  /// What the tool says it has done of its step, between 0 and 1; nil where it has said nothing of use.
  var fraction: Double? {
    let fraction = Self.fraction(of: percent, in: step)
    return step == MissionClock.execution && fraction > 0 && fraction < 1 ? fraction : nil
  }

  /// The plain rule: what is left takes as long, in proportion, as what is done. In seconds; nil while nothing is done.
  var plainRule: Double? {
    guard percent > 0, elapsed > 0 else { return nil }
    return min(elapsed / percent * (100 - min(percent, 100)), Self.longest)
  }
}

extension Standing {
  /// Where a snapshot shows the mission to stand; nil unless it is running.
  ///
  /// - Parameters:
  ///   - snapshot: with `elapsed` up to `now`.
  ///   - reportedAt: the time of the last STEP_PROGRESS event, if that is known.
  init?(_ snapshot: ProgressSnapshot, reportedAt: Date? = nil, now: Date) {
    guard snapshot.state == .running, let elapsed = snapshot.elapsed else { return nil }
    let seconds = Double(elapsed.seconds) + Double(elapsed.nanos) / 1e9
    let running = snapshot.steps.last { $0.outcome == .running }
    let step = running.map(\.step) ?? MissionClock.steps.first { step in
      !snapshot.steps.contains { $0.step == step && $0.outcome == .completed }
    }
    guard let step, let index = MissionClock.steps.firstIndex(of: step) else { return nil }
    func since(_ time: Date?) -> Double { time.map { min(max(0, now.timeIntervalSince($0)), seconds) } ?? 0 }
    let inStep = since(running?.startedAt?.date)
    self.init(
      step: index, inStep: inStep, elapsed: seconds, percent: snapshot.percent,
      sinceReport: index == MissionClock.execution ? min(since(reportedAt), inStep) : 0)
  }
}

/// The time left of a mission.
struct TimeLeft: Sendable, Hashable {
  /// Seconds; as likely to be longer as to be shorter. Never negative.
  var p50: Double
  /// Seconds; nine of ten missions take no longer. At least `p50`; nil where nothing but the plain rule is known.
  var p90: Double?
  /// For people: "history of 57 runs (recipe, tool, intent)" or "plain rule".
  var basis: String
}
