import Foundation
import Messages
import Testing

@testable import ProgressService

/// Where a mission stands that was held, changed or ended in one way or another.
@Suite struct MissionFoldTests {
  private func step(
    _ sequence: UInt64, _ type: EventType, _ step: Step, _ state: MissionState = .running, at seconds: Double,
    change: MissionChange? = nil, question: Question? = nil
  ) -> ProgressEvent {
    ProgressEvent(
      missionId: "m", sequence: sequence, time: GoogleProtobufTimestamp(Date(timeIntervalSince1970: seconds)),
      type: type, step: step, percent: 10, state: state, change: change, question: question)
  }

  private func snapshot(_ events: [ProgressEvent], at seconds: Double) -> ProgressSnapshot {
    ProgressSnapshot(missionID: "m", events: events, now: Date(timeIntervalSince1970: seconds))
  }

  private func seconds(_ duration: GoogleProtobufDuration?) -> Double? { duration.map { $0.duration / .seconds(1) } }

  @Test func timeInWhichItIsHeldDoesNotCount() {
    var events = [
      Events.state(.pendingApproval, 1, at: 0), Events.state(.approved, 2, at: 50), Events.state(.running, 3, at: 100),
      step(4, .stepStarted, .intent, at: 101), Events.state(.paused, 5, at: 110),
    ]
    let held = snapshot(events, at: 150)
    #expect(seconds(held.elapsed) == 10)
    #expect(seconds(held.held) == 40)
    #expect(Standing(held, now: Date(timeIntervalSince1970: 150)) == nil, "nobody knows how long it will be held")
    #expect(held.steps.map(\.outcome) == [.interrupted])
    events += [Events.state(.running, 6, at: 160), step(7, .stepStarted, .intent, at: 161)]
    let resumed = snapshot(events, at: 170)
    #expect(seconds(resumed.elapsed) == 20)
    #expect(seconds(resumed.held) == 50)
    #expect(Standing(resumed, now: Date(timeIntervalSince1970: 170))?.elapsed == 20)
    #expect(resumed.steps.map(\.outcome) == [.interrupted, .running], "it runs anew")
    events += [
      Events.state(.awaitingInput, 8, at: 180), Events.state(.pendingApproval, 9, at: 190),
      Events.state(.cancelled, 10, at: 200),
    ]
    let ended = snapshot(events, at: 1_000)
    #expect(seconds(ended.elapsed) == 30)
    #expect(seconds(ended.held) == 70)
    #expect(ended.startedAt == GoogleProtobufTimestamp(seconds: 100))
    #expect(ended.finishedAt == GoogleProtobufTimestamp(seconds: 200))
  }

  @Test func beforeItBeginsNothingIsHeld() {
    let waiting = snapshot([Events.state(.pendingApproval, 1, at: 0), Events.state(.paused, 2, at: 5)], at: 100)
    #expect(waiting.elapsed == nil)
    #expect(waiting.held == nil)
    let begun = snapshot(
      [Events.state(.approved, 1, at: 0), Events.state(.paused, 2, at: 5), Events.state(.running, 3, at: 9)], at: 12)
    #expect(seconds(begun.elapsed) == 3)
    #expect(seconds(begun.held) == 0)
  }

  @Test func aChangeMakesStepsStale() {
    let change = MissionChange(command: .modify, applied: true, staleSteps: [.intent, .budget])
    let events = [
      Events.state(.running, 1, at: 0), step(2, .stepStarted, .verification, at: 1),
      step(3, .stepCompleted, .verification, at: 2), step(4, .stepStarted, .intent, at: 2),
      step(5, .stepCompleted, .intent, at: 3), step(6, .stepStarted, .budget, at: 3),
      step(7, .missionChanged, .unspecified, at: 4, change: change), step(8, .stepStarted, .intent, at: 5),
      step(9, .stepProgress, .intent, at: 6),
    ]
    let snapshot = snapshot(events, at: 7)
    #expect(snapshot.steps.map(\.step) == [.verification, .intent, .budget, .intent])
    #expect(snapshot.steps.map(\.outcome) == [.completed, .stale, .interrupted, .running])
    #expect(snapshot.steps[2].endedAt == GoogleProtobufTimestamp(seconds: 4))
  }

  @Test(arguments: [
    (MissionState.cancelled, StepOutcome.cancelled), (.failed, .failed), (.awaitingInput, .interrupted),
  ])
  func whatRanEndsWithTheMission(_ state: MissionState, _ outcome: StepOutcome) {
    let events = [
      Events.state(.running, 1, at: 0), step(2, .stepStarted, .execution, at: 1), Events.state(state, 3, at: 2),
    ]
    #expect(snapshot(events, at: 3).steps.map(\.outcome) == [outcome])
  }

  @Test func aQuestionIsThereWhileItIsOpen() {
    var events = [
      Events.state(.running, 1, at: 0),
      step(2, .stateChanged, .unspecified, .awaitingInput, at: 1, question: Question(id: "q", prompt: "Again?")),
    ]
    #expect(snapshot(events, at: 3).question?.id == "q")
    events.append(Events.state(.running, 3, at: 2))
    #expect(snapshot(events, at: 3).question == nil)
  }

  @Test func theNewestFactsCount() {
    let events = [
      Events.state(.running, 1, at: 0, facts: MissionFacts(owner: "ann")), Events.progress(2...2)[0],
      Events.state(.running, 3, at: 1, facts: MissionFacts(owner: "ann", tool: "calculate")),
    ]
    #expect(snapshot(events, at: 2).facts == MissionFacts(owner: "ann", tool: "calculate"))
  }
}
