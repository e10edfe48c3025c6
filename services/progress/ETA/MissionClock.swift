import Foundation
import Messages

/// Folds a mission's events into the time that each step was really worked on. Held time is left out: what passes while
/// the mission is not RUNNING (it waits for an approval, is paused, or has asked something). A step that ran anew has
/// the time of all its runs, as the mission experienced it.
struct MissionClock: Sendable {
  static let steps: [Step] = [.verification, .intent, .budget, .selection, .execution, .finalize]
  /// The mission's percent at which each step begins, and 100.
  static let bounds: [Double] = [0, 5, 30, 40, 55, 80, 100]
  static let execution = 4

  /// Seconds, one for each of the six steps.
  private(set) var seconds = [Double](repeating: 0, count: steps.count)
  /// The newest facts among the events.
  private(set) var facts: MissionFacts?
  /// False if the first event taken was not the mission's first: then the times are not all there.
  private(set) var isWhole = true
  private(set) var state = MissionState.unspecified
  private var step = 0
  /// When the step's present run began, in active seconds of the mission.
  private var stepBegan = 0.0
  private var percent = 0.0
  /// The tool's last report of its progress in execution: fraction and active seconds of the mission.
  private var report: (fraction: Double, at: Double)?
  private var reports: [FinishedRun.Report] = []
  private var time: Date?

  /// Active seconds since it first ran.
  var elapsed: Double { seconds.reduce(0, +) }

  mutating func take(_ event: ProgressEvent) {
    if time == nil { isWhole = event.sequence == 1 }
    advance(to: event.time?.date)
    if let facts = event.facts { self.facts = facts }
    percent = max(percent, event.percent)
    if let index = Self.steps.firstIndex(of: event.step) { enter(index, event.type) }
    state = event.state
  }

  /// Where the mission stands; nil unless it is running.
  func standing(at now: Date) -> Standing? {
    guard state == .running else { return nil }
    var clock = self
    clock.advance(to: now)
    return Standing(
      step: step, inStep: clock.elapsed - stepBegan, elapsed: clock.elapsed, percent: percent,
      sinceReport: step == Self.execution ? report.map { clock.elapsed - $0.at } ?? 0 : 0)
  }

  /// What history keeps of the mission; nil while it has not succeeded, or where its facts or first events are unknown.
  func finished(_ facts: MissionFacts?) -> FinishedRun? {
    guard state == .succeeded, isWhole, let facts = facts ?? self.facts else { return nil }
    return FinishedRun(
      key: RunKey(recipe: facts.recipe, tool: facts.tool, intent: facts.intent), seconds: seconds, reports: reports)
  }

  private mutating func advance(to next: Date?) {
    guard let next else { return }
    // Clocks may be set back; time does not run backwards.
    if state == .running, let time { seconds[step] += max(0, next.timeIntervalSince(time)) }
    time = max(time ?? next, next)
  }

  private mutating func enter(_ index: Int, _ type: EventType) {
    if index != step || type == .stepStarted { stepBegan = elapsed }
    step = index
    // What runs anew does not raise the percent before it is past where the run before was: nothing is known of it.
    if type == .stepStarted { report = nil }
    guard index == Self.execution, type == .stepProgress else { return }
    let fraction = Standing.fraction(of: percent, in: index)
    guard fraction > 0, fraction < 1, fraction > report?.fraction ?? 0 else { return }
    report = (fraction, elapsed)
    func part(_ fraction: Double) -> Int { Int(fraction * Double(FinishedRun.parts)) }
    if let last = reports.last, part(last.fraction) >= part(fraction) { return }
    reports.append(.init(fraction: fraction, at: seconds[index]))
  }
}
