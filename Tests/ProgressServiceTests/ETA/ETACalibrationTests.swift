import Foundation
import Messages
import TestSupport
import Testing

@testable import ProgressService

/// Estimates against a thousand simulated missions that history has not seen: each is asked about at random moments,
/// and only then taken into history, as it would be in an installation.
@Suite struct ETACalibrationTests {
  static let seeds: [UInt64] = [11, 12, 13]
  private static let missionsBefore = 2_000
  private static let missionsHeldOut = 1_000

  /// How the moments are chosen at which somebody asks.
  private enum Asking: String, CaseIterable {
    /// Twice at random moments of each mission.
    case ofEach = "at random moments of each mission"
    /// Again and again while it lasts.
    case steadily = "at a steady rate"
  }

  private struct Question {
    var asking: Asking
    var kind: MissionKind
    var left: Double
    var estimate: TimeLeft
    var plainRule: Double?
    var lastRun: Double?

    var isCovered: Bool { (estimate.p90 ?? -1) >= left }
  }

  @Test func nineOfTenMissionsTakeNoLongerThanP90() {
    var all: [Question] = []
    for seed in Self.seeds {
      let questions = Self.ask(seed: seed)
      all += questions
      for asking in Asking.allCases {
        let some = questions.filter { $0.asking == asking }
        report("seed \(seed), asked \(asking.rawValue)", some)
        #expect((0.85...0.95).contains(coverage(some)))
        let known = some.filter { $0.plainRule != nil && $0.lastRun != nil }
        let errors = errors(known)
        #expect(errors.estimate < errors.plainRule)
        #expect(errors.estimate < errors.lastRun)
      }
    }
    for kind in MissionKind.all {
      let questions = all.filter { $0.kind == kind }
      report("  \(kind.recipe.isEmpty ? "no recipe" : kind.recipe), \(kind.tool)", questions)
      if questions.count >= 300 { #expect((0.8...0.98).contains(coverage(questions))) }
    }
  }

  // MARK: -

  private static func ask(seed: UInt64) -> [Question] {
    var simulator = MissionSimulator(seed: seed, changesAt: missionsBefore + 300)
    var history = SimulatedHistory()
    for _ in 0..<missionsBefore { history.add(clock(of: simulator.next().events).finished(nil)) }
    var questions: [Question] = []
    for _ in 0..<missionsHeldOut {
      let mission = simulator.next()
      var moments = (0..<2).map { _ in (Asking.ofEach, simulator.uniform() * mission.total) }
      let pause = mission.kind.seconds + 0.5
      var moment = -pause * log(1 - simulator.uniform())
      while moment < mission.total {
        moments.append((.steadily, moment))
        moment -= pause * log(1 - simulator.uniform())
      }
      questions += moments.compactMap { ask($0, of: mission, after: $1, history) }
      history.add(clock(of: mission.events).finished(nil))
    }
    return questions
  }

  private static func ask(
    _ asking: Asking, of mission: SimulatedMission, after active: Double, _ history: SimulatedHistory
  ) -> Question? {
    let now = mission.moment(afterActive: active)
    let clock = clock(of: mission.events.prefix { $0.time.map { $0.date <= now } ?? false })
    guard let standing = clock.standing(at: now), let facts = clock.facts else { return nil }
    // The clock has left out the same times as the simulator.
    #expect(abs(standing.elapsed - active) < 1e-3)
    guard let estimate = history.estimate(standing, facts) else { return nil }
    return Question(
      asking: asking, kind: mission.kind, left: mission.total - active, estimate: estimate,
      plainRule: standing.plainRule, lastRun: history.lastRun(of: mission.kind).map { max($0 - active, 0) })
  }

  private static func clock(of events: some Sequence<ProgressEvent>) -> MissionClock {
    var clock = MissionClock()
    for event in events { clock.take(event) }
    return clock
  }

  private func coverage(_ questions: [Question]) -> Double {
    Double(questions.count(where: \.isCovered)) / Double(max(questions.count, 1))
  }

  /// Median absolute errors in seconds.
  private func errors(_ questions: [Question]) -> (estimate: Double, plainRule: Double, lastRun: Double) {
    func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    guard !questions.isEmpty else { return (.nan, .nan, .nan) }
    return (
      median(questions.map { abs($0.estimate.p50 - $0.left) }),
      median(questions.map { abs(($0.plainRule ?? 0) - $0.left) }),
      median(questions.map { abs(($0.lastRun ?? 0) - $0.left) })
    )
  }

  private func report(_ name: String, _ questions: [Question]) {
    let errors = errors(questions)
    func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
    print(
      "\(name): \(questions.count) questions, p90 covers \(String(format: "%.1f %%", coverage(questions) * 100)); "
        + "median error \(seconds(errors.estimate)), plain rule \(seconds(errors.plainRule)), "
        + "last run \(seconds(errors.lastRun))")
  }
}

/// History in memory, scope by scope, as `DurationHistory` answers from the database.
private struct SimulatedHistory {
  /// Newest last.
  private var runs: [HistoryScope: [FinishedRun]] = [:]

  mutating func add(_ run: FinishedRun?) {
    guard let run else { return }
    var unfinished = RunKey(recipe: run.key.recipe)
    var scopes = Set(HistoryScope.fitting(unfinished))
    unfinished.intent = run.key.intent
    scopes.formUnion(HistoryScope.fitting(unfinished))
    scopes.formUnion(HistoryScope.fitting(run.key))
    for scope in scopes { runs[scope, default: []].append(run) }
  }

  func estimate(_ standing: Standing, _ facts: MissionFacts) -> TimeLeft? {
    for scope in HistoryScope.fitting(RunKey(recipe: facts.recipe, tool: facts.tool, intent: facts.intent)) {
      let newest = Array((runs[scope] ?? []).suffix(DurationHistory.runsPerKey).reversed())
      guard let (p50, p90) = ETAEstimator.estimate(standing, from: newest) else { continue }
      return TimeLeft(p50: p50, p90: p90, basis: scope.text)
    }
    return standing.plainRule.map { TimeLeft(p50: $0, p90: nil, basis: "plain rule") }
  }

  /// The whole time of the last run with the same recipe, tool and intent.
  func lastRun(of kind: MissionKind) -> Double? {
    runs[HistoryScope(recipe: kind.recipe, tool: kind.tool, intent: kind.intent)]?.last?.total
  }
}
