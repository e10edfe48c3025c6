import Foundation
import Messages
import TestSupport

@testable import ProgressService

/// One simulated mission: its whole event log, and when it was really worked on.
struct SimulatedMission {
  var kind: MissionKind
  var events: [ProgressEvent] = []
  /// The times in which it was worked on, in order.
  private(set) var active: [(from: Date, to: Date)] = []
  private(set) var now: Date
  private var state = MissionState.pendingApproval
  private var percent = 0.0

  init(_ kind: MissionKind, at start: Date) {
    self.kind = kind
    now = start
  }

  /// Active seconds.
  var total: Double { active.reduce(0) { $0 + $1.to.timeIntervalSince($1.from) } }

  /// The moment at which it has been worked on for so many seconds.
  func moment(afterActive seconds: Double) -> Date {
    var rest = seconds
    for (from, to) in active {
      let length = to.timeIntervalSince(from)
      if rest <= length { return from.addingTimeInterval(rest) }
      rest -= length
    }
    return active.last?.to ?? now
  }

  mutating func work(_ seconds: Double) {
    let end = now.addingTimeInterval(max(seconds, 1e-6))
    active.append((now, end))
    now = end
  }

  mutating func wait(_ seconds: Double) { now = now.addingTimeInterval(seconds) }

  mutating func enter(_ state: MissionState) {
    self.state = state
    emit(.stateChanged, .unspecified)
  }

  mutating func emit(_ type: EventType, _ step: Step, percent: Double = 0) {
    self.percent = max(self.percent, percent)
    var event = ProgressEvent(
      missionId: "m", sequence: UInt64(events.count + 1), time: GoogleProtobufTimestamp(now), type: type, step: step,
      percent: self.percent, state: state)
    if events.isEmpty { event.facts = MissionFacts(recipe: kind.recipe) }
    if type == .stepCompleted, step == .intent {
      event.facts = MissionFacts(recipe: kind.recipe, intent: kind.intent)
    }
    if type == .stepCompleted, step == .selection {
      event.facts = MissionFacts(recipe: kind.recipe, intent: kind.intent, tool: kind.tool)
    }
    events.append(event)
  }
}

/// A stream of missions as an installation might see them: several recipes and tools, input sizes that slow several
/// steps at once, caches and retries, a machine that is busier at times, tools that report their progress well, badly,
/// in jumps or never, pauses and questions, slow drift and one sudden change. Nothing in it knows of the estimator.
struct MissionSimulator {
  private var random: SeededRandom
  private var clock = Date(timeIntervalSince1970: 1_800_000_000)
  /// The logarithm of how busy the machine is.
  private var load = 0.0
  private var count = 0
  /// After how many missions the sudden change comes.
  let changesAt: Int

  init(seed: UInt64, changesAt: Int) {
    random = SeededRandom(seed: seed)
    self.changesAt = changesAt
  }

  mutating func uniform() -> Double { Double.random(in: 0..<1, using: &random) }

  mutating func normal() -> Double {
    (-2 * log(1 - uniform())).squareRoot() * cos(2 * .pi * uniform())
  }

  /// Log-normal around a median.
  private mutating func around(_ median: Double, _ sigma: Double) -> Double { median * exp(sigma * normal()) }

  private mutating func chance(_ probability: Double) -> Bool { uniform() < probability }

  mutating func next() -> SimulatedMission {
    count += 1
    load = 0.97 * load + 0.06 * normal()
    clock = clock.addingTimeInterval(-30 * log(1 - uniform()))
    let kind = MissionKind.pick(uniform())
    let size = exp(kind.sizeSpread * normal())
    let slowness = exp(load) * kind.drift(after: count, changesAt: changesAt)
    var mission = SimulatedMission(kind, at: clock)
    mission.enter(.pendingApproval)
    if chance(0.2) { mission.wait(around(120, 1.5)) }
    mission.enter(.approved)
    mission.wait(around(0.2, 1))
    mission.enter(.running)
    for step in MissionClock.steps { run(step, of: &mission, size: size, slowness: slowness) }
    mission.enter(.succeeded)
    return mission
  }

  private mutating func run(_ step: Step, of mission: inout SimulatedMission, size: Double, slowness: Double) {
    let seconds = slowness * duration(of: step, of: mission.kind, size: size)
    mission.work(around(0.001, 0.5))
    mission.emit(.stepStarted, step, percent: Self.start(of: step))
    if chance(0.03) {
      mission.work(seconds * uniform())
      mission.enter(chance(0.3) ? .awaitingInput : .paused)
      mission.wait(around(300, 1.2))
      mission.enter(.running)
      mission.work(around(0.05, 0.5))
      mission.emit(.stepStarted, step)
    }
    if step == .execution {
      execute(&mission, seconds: seconds)
    } else {
      mission.work(seconds)
    }
    mission.emit(.stepCompleted, step, percent: Self.end(of: step))
  }

  private mutating func duration(of step: Step, of kind: MissionKind, size: Double) -> Double {
    switch step {
    case .verification: return around(0.01, 0.3) + around(0.03, 0.2) * size
    // A model is asked where the rules are not sure.
    case .intent: return chance(0.15) ? around(1.2, 0.4) : around(0.02, 0.4)
    case .budget: return around(0.008, 0.4)
    case .selection: return around(0.015, 0.5)
    case .finalize: return around(0.05, 0.3) + around(kind.seconds * 0.08, 0.3) * pow(size, 0.8)
    default: break
    }
    if chance(kind.cached) { return around(kind.seconds * 0.06, 0.4) }
    var seconds = around(kind.seconds, kind.noise) * pow(size, kind.sizeEffect)
    while chance(kind.retried) { seconds += around(kind.seconds * 2, 0.3) }
    return seconds
  }

  /// The tool's own reports lead or lag behind what is really done, and come in intervals.
  private mutating func execute(_ mission: inout SimulatedMission, seconds: Double) {
    guard kindReports(mission.kind), seconds > 0.05 else { return mission.work(seconds) }
    let bend = mission.kind.bend * exp(0.15 * normal())
    var (done, shown) = (0.0, 0.0)
    while true {
      let next = done + mission.kind.interval * (0.5 + uniform())
      guard next < 1 else { break }
      mission.work((next - done) * seconds)
      done = next
      shown = max(shown, min(0.99, pow(done, bend) + 0.02 * normal()))
      mission.emit(.stepProgress, .execution, percent: 55 + 25 * shown)
    }
    mission.work((1 - done) * seconds)
  }

  private func kindReports(_ kind: MissionKind) -> Bool { kind.interval > 0 }

  private static func start(of step: Step) -> Double {
    MissionClock.bounds[MissionClock.steps.firstIndex(of: step) ?? 0]
  }

  private static func end(of step: Step) -> Double {
    MissionClock.bounds[(MissionClock.steps.firstIndex(of: step) ?? 0) + 1]
  }
}

struct MissionKind: Hashable {
  var recipe: String
  var tool: String
  var intent: String
  /// Among all missions.
  var share: Double
  /// Of execution: the median.
  var seconds: Double
  /// Of the logarithm.
  var noise: Double
  var sizeSpread = 0.0
  /// The power of the size that execution takes.
  var sizeEffect = 0.0
  /// How often the result is there already.
  var cached = 0.0
  /// How often it has to be tried again.
  var retried = 0.0
  /// The part of the work between two reports; 0 for a tool that reports nothing.
  var interval = 0.0
  /// The power of what is done that is reported: below 1 it is fast at first.
  var bend = 1.0
  /// By which factor a thousand missions slow it down.
  var trend = 1.0
  /// By which factor the sudden change slows it down.
  var change = 1.0

  func drift(after count: Int, changesAt: Int) -> Double {
    pow(trend, Double(count) / 1_000) * (count > changesAt ? change : 1)
  }

  static func pick(_ uniform: Double) -> MissionKind {
    var rest = uniform * all.reduce(0) { $0 + $1.share }
    for kind in all {
      rest -= kind.share
      if rest < 0 { return kind }
    }
    return all[0]
  }

  static let all = [
    MissionKind(
      recipe: "weekly-report", tool: "data_analyze", intent: "data_analysis", share: 20, seconds: 4, noise: 0.25,
      sizeSpread: 0.7, sizeEffect: 1, interval: 0.05, trend: 1.05),
    MissionKind(
      recipe: "", tool: "data_analyze", intent: "data_analysis", share: 15, seconds: 2, noise: 0.4, sizeSpread: 1,
      sizeEffect: 0.9, interval: 0.1, bend: 0.8),
    MissionKind(
      recipe: "news-digest", tool: "web_extract", intent: "web_extraction", share: 15, seconds: 5, noise: 0.4,
      cached: 0.35, trend: 0.93),
    MissionKind(
      recipe: "", tool: "web_extract", intent: "web_extraction", share: 12, seconds: 1.5, noise: 0.7, sizeSpread: 0.4,
      sizeEffect: 0.5, retried: 0.15),
    MissionKind(recipe: "", tool: "calculate", intent: "calculation", share: 10, seconds: 0.02, noise: 0.5),
    MissionKind(
      recipe: "research", tool: "web_search", intent: "research", share: 8, seconds: 30, noise: 0.3, sizeSpread: 0.5,
      sizeEffect: 1, retried: 0.05, interval: 0.2),
    MissionKind(
      recipe: "nightly-load", tool: "sql_query", intent: "data_analysis", share: 8, seconds: 120, noise: 0.35,
      sizeSpread: 0.4, sizeEffect: 1, interval: 0.03, bend: 0.6, change: 1.4),
    MissionKind(
      recipe: "", tool: "language_model", intent: "writing", share: 10, seconds: 12, noise: 0.5, sizeSpread: 0.5,
      sizeEffect: 0.6, cached: 0.1),
    MissionKind(
      recipe: "audit-sample", tool: "data_analyze", intent: "data_analysis", share: 0.5, seconds: 15, noise: 0.3,
      sizeSpread: 0.3, sizeEffect: 1, interval: 0.1),
    MissionKind(
      recipe: "one-off", tool: "http_request", intent: "notification", share: 0.3, seconds: 1, noise: 0.6),
  ]
}
