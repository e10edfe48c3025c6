import Foundation
import Messages
import Testing

@testable import ProgressService

@Suite struct ETAEstimatorTests {
  private func run(_ seconds: [Double], reports: [FinishedRun.Report] = []) -> FinishedRun {
    FinishedRun(key: RunKey(), seconds: seconds, reports: reports)
  }

  /// Ten runs whose execution took 1 to 10 seconds.
  private var tenRuns: [FinishedRun] { (1...10).map { run([0, 0, 0, 0, Double($0), 1]) } }

  @Test func fewerRunsThanFiveSayNothing() {
    let standing = Standing(step: 4, inStep: 1, elapsed: 1, percent: 55)
    #expect(ETAEstimator.estimate(standing, from: Array(tenRuns.prefix(4))) == nil)
    #expect(ETAEstimator.estimate(standing, from: Array(tenRuns.prefix(5))) != nil)
  }

  @Test func onlyRunsThatWereStillThereCount() throws {
    let standing = Standing(step: 4, inStep: 5, elapsed: 5, percent: 55)
    let estimate = try #require(ETAEstimator.estimate(standing, from: tenRuns))
    // Those of 6 to 10 seconds had 2 to 6 left.
    #expect((2...6).contains(estimate.p50))
    #expect(estimate.p90 >= 6, "five runs do not show their longest tenth")
  }

  @Test func nothingIsEverNegativeHoweverLongItTakes() throws {
    for inStep in [0.0, 9.99, 10, 100, 1e9] {
      for step in 0..<6 {
        for percent in [0.0, 60, 79.9, 80, 100] {
          let standing = Standing(step: step, inStep: inStep, elapsed: inStep, percent: percent, sinceReport: inStep)
          let estimate = try #require(ETAEstimator.estimate(standing, from: tenRuns))
          #expect(estimate.p50 >= 0 && estimate.p90 >= estimate.p50 && estimate.p90 <= Standing.longest)
        }
      }
    }
  }

  @Test func runsWithoutAnyTimeDoNoHarm() throws {
    let runs = Array(repeating: run([0, 0, 0, 0, 0, 0], reports: [.init(fraction: 0.5, at: 0)]), count: 20)
    for percent in [0.0, 60, 67.5, 80] {
      let standing = Standing(step: 4, inStep: 1, elapsed: 1, percent: percent)
      let estimate = try #require(ETAEstimator.estimate(standing, from: runs))
      #expect(estimate.p50 >= 0 && estimate.p90.isFinite)
    }
  }

  @Test func theToolsOwnProgressTellsALongMissionFromAShortOne() throws {
    let runs = (1...40).map { index -> FinishedRun in
      let seconds = Double(1 << (index % 6))
      return run([0, 0, 0, 0, seconds, 0.1 * seconds], reports: [.init(fraction: 0.5, at: seconds / 2)])
    }
    // Half of execution done, by its own account.
    func left(after seconds: Double) throws -> Double {
      let standing = Standing(step: 4, inStep: seconds, elapsed: seconds, percent: 67.5)
      return try #require(ETAEstimator.estimate(standing, from: runs)).p50
    }
    let (short, long) = (try left(after: 1), try left(after: 16))
    #expect(abs(short - 1.2) < 0.1)
    #expect(abs(long - 19.2) < 1.5)
  }

  @Test func laterRunsCountMore() throws {
    let slow = Array(repeating: run([0, 0, 0, 0, 20, 0]), count: 250)
    let fast = Array(repeating: run([0, 0, 0, 0, 2, 0]), count: 250)
    let standing = Standing(step: 4, inStep: 0, elapsed: 0, percent: 55)
    #expect(ETAEstimator.estimate(standing, from: slow + fast)?.p50 == 20)
    #expect(ETAEstimator.estimate(standing, from: fast + slow)?.p50 == 2)
  }

  @Test func thePlainRuleNeedsSomethingDone() {
    #expect(Standing(step: 0, inStep: 3, elapsed: 3, percent: 0).plainRule == nil)
    #expect(Standing(step: 2, inStep: 0, elapsed: 10, percent: 25).plainRule == 30)
    #expect(Standing(step: 0, inStep: 1e11, elapsed: 1e11, percent: 1e-300).plainRule == Standing.longest)
  }

  @Test func whoseHistoryCountsDependsOnWhatIsKnown() {
    func texts(_ key: RunKey) -> [String] { HistoryScope.fitting(key).map(\.text) }
    #expect(
      texts(RunKey(recipe: "r", tool: "t", intent: "i")) == ["recipe, tool, intent", "tool, intent", "intent"])
    #expect(texts(RunKey(tool: "t", intent: "i"))[0] == "no recipe, tool, intent")
    #expect(texts(RunKey(recipe: "r", intent: "i")) == ["recipe, intent", "recipe", "intent", "all missions"])
    #expect(texts(RunKey(recipe: "r")) == ["recipe", "all missions"])
    #expect(texts(RunKey()) == ["all missions"])
  }
}

@Suite struct MissionClockTests {
  private func event(
    _ sequence: UInt64, _ type: EventType, _ step: Step = .unspecified, percent: Double = 0,
    _ state: MissionState = .running, at seconds: Double
  ) -> ProgressEvent {
    ProgressEvent(
      missionId: "m", sequence: sequence, time: GoogleProtobufTimestamp(Date(timeIntervalSince1970: seconds)),
      type: type, step: step, percent: percent, state: state,
      facts: sequence == 1 ? MissionFacts(recipe: "r", intent: "i", tool: "t") : nil)
  }

  private func clock(_ events: [ProgressEvent]) -> MissionClock {
    var clock = MissionClock()
    for event in events { clock.take(event) }
    return clock
  }

  private var log: [ProgressEvent] {
    [
      event(1, .stateChanged, .unspecified, .pendingApproval, at: 0),
      event(2, .stateChanged, .unspecified, .approved, at: 100), event(3, .stateChanged, at: 110),
      event(4, .stepStarted, .verification, at: 110),
      event(5, .stepCompleted, .verification, percent: 5, at: 111),
      event(6, .stepStarted, .execution, percent: 55, at: 112),
      event(7, .stepProgress, .execution, percent: 60, at: 113),
      event(8, .stateChanged, .unspecified, percent: 60, .paused, at: 114),
      event(9, .stateChanged, .unspecified, percent: 60, at: 514),
      event(10, .stepStarted, .execution, percent: 60, at: 515),
      event(11, .stepProgress, .execution, percent: 75, at: 517),
      event(12, .stepCompleted, .execution, percent: 80, at: 518),
      event(13, .stateChanged, .unspecified, percent: 100, .succeeded, at: 519),
    ]
  }

  @Test func heldTimeIsLeftOutAndAStepThatRanAnewHasBothTimes() throws {
    let run = try #require(clock(log).finished(nil))
    #expect(run.seconds == [2, 0, 0, 0, 7, 0])
    #expect(run.key == RunKey(recipe: "r", tool: "t", intent: "i"))
    #expect(run.reports == [.init(fraction: 0.2, at: 1), .init(fraction: 0.8, at: 5)])
  }

  @Test func whatDidNotSucceedOrIsNotWholeIsNoHistory() {
    #expect(clock(Array(log.dropLast())).finished(nil) == nil)
    #expect(clock(Array(log.dropFirst())).finished(MissionFacts(tool: "t")) == nil)
    #expect(clock(log.map { event in
      var event = event
      event.facts = nil
      return event
    }).finished(nil) == nil)
  }

  @Test func itStandsNowhereWhileItIsHeld() {
    #expect(clock(Array(log.prefix(8))).standing(at: Date(timeIntervalSince1970: 300)) == nil)
    #expect(clock(Array(log.prefix(2))).standing(at: Date(timeIntervalSince1970: 105)) == nil)
    #expect(clock(log).standing(at: Date(timeIntervalSince1970: 600)) == nil)
  }

  @Test func whereItStandsIsWhatASnapshotShows() throws {
    let now = Date(timeIntervalSince1970: 517.5)
    let standing = try #require(clock(Array(log.prefix(11))).standing(at: now))
    #expect(standing == Standing(step: 4, inStep: 2.5, elapsed: 7.5, percent: 75, sinceReport: 0.5))
    let snapshot = ProgressSnapshot(
      state: .running,
      steps: [
        StepRecord(step: .verification, outcome: .completed),
        StepRecord(step: .execution, outcome: .interrupted),
        StepRecord(step: .execution, outcome: .running, startedAt: log[9].time),
      ], percent: 75, elapsed: GoogleProtobufDuration(.seconds(7.5)))
    #expect(Standing(snapshot, reportedAt: log[10].time?.date, now: now) == standing)
  }

  @Test func aClockThatIsSetBackTakesNothingAway() {
    let log = [
      event(1, .stateChanged, at: 10), event(2, .stepStarted, .intent, at: 12), event(3, .stepProgress, .intent, at: 5),
      event(4, .stepCompleted, .intent, at: 14),
    ]
    #expect(clock(log).elapsed == 4)
  }
}
