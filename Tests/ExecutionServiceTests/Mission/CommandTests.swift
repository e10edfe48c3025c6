import Foundation
import Messages
import RPC
import Testing

@testable import ExecutionService

@Suite struct CommandTests {
  private let now = MissionScenarios.now
  private let eva = MissionScenarios.eva

  private func refused(_ mission: Mission, _ transition: Transition) -> Status.Code? {
    var mission = mission
    do {
      _ = try mission.apply(transition, at: now)
      return nil
    } catch {
      return (error as? Status)?.code
    }
  }

  // MARK: - Pause and resume

  @Test func aPauseInterruptsTheStepWhichBeginsAnew() throws {
    var mission = try MissionScenarios.running(.intent)
    let by = By(actor: "eva", reason: "lunch", requestID: "r1")
    let paused = try mission.events(of: .pause(by, isInterruptible: true))
    #expect(mission.state == .paused && mission.outcomes(of: .intent) == [.interrupted])
    #expect(paused.map(\.type) == [.stateChanged] && paused[0].actor == "eva")
    #expect(paused[0].message == "paused by eva: lunch")
    let change = try #require(paused[0].change)
    #expect(change == mission.changes.last && change.command == .pause && change.requestId == "r1")
    #expect(change.step == .intent && change.applied && change.staleSteps == [.intent] && change.reason == "lunch")
    #expect(refused(mission, .complete(.intent, message: "")) == .failedPrecondition, "the interrupted run is late")
    #expect(refused(mission, .begin(.intent)) == .failedPrecondition)

    #expect(try mission.events(of: .resume(eva)).map(\.state) == [.running])
    #expect(mission.currentStep == .intent && mission.runningStep == nil)
    #expect(try mission.events(of: .begin(.intent)).map(\.type) == [.stepStarted])
    #expect(mission.outcomes(of: .intent) == [.interrupted, .running])
    #expect(mission.outcomes(of: .verification) == [.completed])
  }

  @Test func aPauseWaitsForTheEndOfAToolThatCannotBeInterrupted() throws {
    var mission = try MissionScenarios.running(.execution)
    let announced = try mission.events(of: .pause(eva, isInterruptible: false))
    #expect(announced.map(\.type) == [.missionChanged] && announced[0].change?.applied == false)
    #expect(mission.state == .running && mission.changes.last?.step == .execution)
    let once = mission
    #expect(try mission.events(of: .pause(eva, isInterruptible: false)).isEmpty && mission == once)
    _ = try mission.events(of: .report(.execution, fraction: 0.5, message: ""))

    let effects = try mission.apply([.complete(.execution, message: ""), .begin(.finalize)], at: now)
    let events = MissionScenarios.events(effects)
    #expect(events.map(\.type) == [.stepCompleted, .stateChanged] && events[1].change?.applied == true)
    #expect(mission.state == .paused && mission.steps.last?.step == .execution, "finalize was not begun")
    #expect(mission.changes.last?.applied == true)
    _ = try mission.events(of: .resume(eva))
    #expect(mission.state == .running && mission.currentStep == .finalize)
  }

  @Test func aPauseThatWaitsIsTakenBack() throws {
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .pause(eva, isInterruptible: false))
    let taken = try mission.events(of: .resume(eva))
    #expect(taken.map(\.type) == [.missionChanged] && taken[0].change?.command == .resume)
    _ = try mission.apply([.complete(.execution, message: ""), .begin(.finalize)], at: now)
    #expect(mission.state == .running && mission.runningStep == .finalize)
    #expect(try mission.events(of: .resume(eva)).isEmpty, "there is nothing to resume")
  }

  @Test func whatHadNotBegunIsResumedToApproved() throws {
    var mission = try MissionScenarios.approved()
    _ = try mission.events(of: .pause(eva, isInterruptible: true))
    #expect(mission.state == .paused && mission.changes.last?.step == .unspecified)
    #expect(try mission.events(of: .pause(eva, isInterruptible: true)).isEmpty)
    _ = try mission.events(of: .resume(eva))
    #expect(mission.state == .approved)
  }

  // MARK: - Cancel and deadline

  private func everyOpenState() throws -> [Mission] {
    var paused = try MissionScenarios.running(.budget)
    _ = try paused.events(of: .pause(eva, isInterruptible: true))
    var awaiting = try MissionScenarios.running(.execution)
    _ = try awaiting.events(of: .ask(.execution, MissionScenarios.question))
    var sentBack = try MissionScenarios.running(.execution)
    let more = Modification(budget: Money(micros: 9_000, currency: "USD"), isBeyondPolicy: true)
    _ = try sentBack.events(of: .modify(eva, more, isInterruptible: true))
    let open = [
      MissionScenarios.new(), try MissionScenarios.approved(), try MissionScenarios.running(), paused, awaiting,
      sentBack,
    ]
    #expect(open.map(\.state) == [.pendingApproval, .approved, .running, .paused, .awaitingInput, .pendingApproval])
    return open
  }

  @Test func cancelEndsAMissionInEveryStateAndFreesItsReservation() throws {
    for var mission in try everyOpenState() {
      let effects = try mission.apply(.cancel(By(actor: "eva", reason: "late")), at: now)
      #expect(mission.state == .cancelled && mission.error?.message == "cancelled by eva: late")
      #expect(MissionScenarios.releases(effects) == 1 && mission.runningStep == nil && mission.question == nil)
      #expect(MissionScenarios.events(effects).last?.isLast == true)
      #expect(try mission.apply(.cancel(eva), at: now).isEmpty)
    }
  }

  @Test func theDeadlineEndsAMissionInEveryState() throws {
    for var mission in try everyOpenState() {
      let open = mission
      #expect(try mission.apply(.expire, at: now).isEmpty && mission == open, "it has no deadline")
      mission.deadline = GoogleProtobufTimestamp(now.addingTimeInterval(1))
      #expect(try mission.apply(.expire, at: now).isEmpty, "it was moved meanwhile")
      let ran = mission.runningStep
      let effects = try mission.apply(.expire, at: now.addingTimeInterval(1))
      #expect(mission.state == .failed && mission.error?.code == "DEADLINE_EXCEEDED")
      #expect(MissionScenarios.releases(effects) == 1)
      let types = MissionScenarios.events(effects).map(\.type)
      #expect(types == (ran == nil ? [.stateChanged] : [.stepFailed, .stateChanged]))
      #expect(try mission.apply(.expire, at: now.addingTimeInterval(2)).isEmpty)
    }
  }

  @Test func rejectingWhatHadBegunFreesItsReservation() throws {
    var new = MissionScenarios.new()
    #expect(MissionScenarios.releases(try new.apply(.reject(eva), at: now)) == 0)
    var begun = try #require(try everyOpenState().last)
    #expect(MissionScenarios.releases(try begun.apply(.reject(eva), at: now)) == 1)
    #expect(begun.state == .rejected)
  }

  // MARK: - Questions

  @Test func aQuestionHoldsTheMissionUntilItIsAnswered() throws {
    var mission = try MissionScenarios.running(.execution)
    let asked = try mission.events(of: .ask(.execution, MissionScenarios.question))
    #expect(asked.map(\.state) == [.awaitingInput] && asked[0].question == mission.question)
    #expect(mission.outcomes(of: .execution) == [.interrupted] && mission.question?.step == .execution)
    #expect(mission.question?.askedAt != nil)
    let yes = Answer(value: .yes(true))
    #expect(refused(mission, .answer(eva, questionID: "another", yes)) == .failedPrecondition)
    var unnamed = mission
    let missing = #expect(throws: Status.self) { try unnamed.events(of: .answer(eva, questionID: "", yes)) }
    #expect(missing?.message == "questionId is missing; the open question is \"q\"")
    #expect(refused(mission, .pause(eva, isInterruptible: true)) == .failedPrecondition)
    #expect(refused(mission, .resume(eva)) == .failedPrecondition)

    let answered = try mission.events(of: .answer(eva, questionID: "q", yes))
    #expect(answered.map(\.state) == [.running] && answered[0].question == nil)
    #expect(mission.question == nil && mission.answers.map(\.answer) == [yes])
    #expect(mission.answers.map(\.question?.id) == ["q"] && mission.answers[0].actor == "eva")
    #expect(refused(mission, .answer(eva, questionID: "q", yes)) == .failedPrecondition)
    _ = try mission.events(of: .begin(.execution))
    #expect(mission.outcomes(of: .execution) == [.interrupted, .running])
  }

  @Test func everyQuestionHasAnIdOfItsOwn() throws {
    var mission = try MissionScenarios.running(.execution)
    var ids: Set<String> = []
    for id in ["", "", "q", "q"] {
      _ = try mission.events(of: .ask(.execution, Question(id: id, prompt: "Go on?", kind: .yesNo)))
      let asked = try #require(mission.question?.id)
      #expect(ids.insert(asked).inserted && !asked.isEmpty)
      _ = try mission.events(of: .answer(eva, questionID: asked, Answer(value: .yes(false))))
      _ = try mission.events(of: .begin(.execution))
    }
  }

  @Test func answersAreOfTheQuestionsKind() {
    func fault(_ kind: AnswerKind, _ value: Answer.Value?) -> Status.Code? {
      do {
        try Question(id: "q", kind: kind, options: ["a", "b"]).check(Answer(value: value))
        return nil
      } catch {
        return (error as? Status)?.code
      }
    }
    #expect(fault(.yesNo, .yes(false)) == nil)
    #expect(fault(.choice, .choice("b")) == nil)
    #expect(fault(.text, .text(String(repeating: "t", count: 10_000))) == nil)
    #expect(fault(.number, .number(-0.5)) == nil)
    let long = String(repeating: "t", count: 10_001)
    let wrong: [(AnswerKind, Answer.Value?)] = [
      (.yesNo, nil), (.yesNo, .text("yes")), (.choice, .choice("c")), (.choice, .text("a")), (.text, .text("")),
      (.text, .text(long)), (.number, .number(.nan)), (.number, .number(.infinity)), (.number, .text("1")),
      (.unspecified, .yes(true)),
    ]
    for (kind, value) in wrong {
      #expect(fault(kind, value) == .invalidArgument, "\(kind) \(String(describing: value))")
    }
  }

  @Test func aPauseThatWaitsHoldsAMissionThatAsksInstead() throws {
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .pause(eva, isInterruptible: false))
    _ = try mission.events(of: .ask(.execution, MissionScenarios.question))
    let answered = try mission.events(of: .answer(eva, questionID: "q", Answer(value: .yes(true))))
    #expect(answered.map(\.state) == [.running, .paused])
    #expect(mission.state == .paused)
  }

  // MARK: - Waiting, facts, limits

  @Test func whatAMissionWaitsForIsToldOnceAndClearedWhenItBegins() throws {
    var mission = try MissionScenarios.running(.selection)
    MissionScenarios.found(&mission, by: .selection)
    _ = try mission.events(of: .complete(.selection, message: ""))
    let waits = try mission.events(of: .wait(for: "the tool calculate"))
    #expect(waits.map(\.type) == [.missionChanged] && waits[0].message == "waiting for the tool calculate")
    #expect(waits[0].change == nil && mission.waitingFor == "the tool calculate" && mission.state == .running)
    #expect(try mission.events(of: .wait(for: "the tool calculate")).isEmpty)
    _ = try mission.events(of: .begin(.execution))
    #expect(mission.waitingFor.isEmpty)
    #expect(refused(try MissionScenarios.ended(.succeeded), .wait(for: "x")) == .failedPrecondition)
  }

  @Test func factsComeFirstAndWhenTheyChange() throws {
    var mission = MissionScenarios.new()
    var seen = MissionScenarios.events([mission.submitted(at: now)])
    seen += try mission.events(of: .approve(eva))
    for step in Step.sequence {
      seen += try mission.events(of: .begin(step))
      MissionScenarios.found(&mission, by: step)
      seen += try mission.events(of: .complete(step, message: ""))
    }
    let told = seen.compactMap(\.facts)
    #expect(told.map(\.intent) == ["", "calculation", "calculation"])
    #expect(told.map(\.tool) == ["", "", "calculate"])
    #expect(seen.first?.facts?.objective == "1 + 1" && seen.first?.facts?.owner == "eva")
    #expect(seen.map(\.actor).filter { !$0.isEmpty } == ["eva"], "the rest Buddy did")
  }

  @Test func twoHundredCommandsAreTheLimitAndTheLastOnesAreKeptForTheEnd() throws {
    var mission = try MissionScenarios.approved()
    var pauses = 0
    while refused(mission, .pause(eva, isInterruptible: true)) == nil {
      _ = try mission.events(of: .pause(eva, isInterruptible: true))
      _ = try mission.events(of: .resume(eva))
      pauses += 1
    }
    #expect(refused(mission, .pause(eva, isInterruptible: true)) == .resourceExhausted)
    #expect(refused(mission, .modify(eva, Modification(priority: 9), isInterruptible: true)) == .resourceExhausted)
    #expect(mission.changes.count >= 190 && pauses == 95)
    _ = try mission.events(of: .begin(.verification))
    while refused(mission, .resume(eva)) == nil, mission.changes.count < Mission.maximumChanges - 1 {
      _ = try mission.events(of: .ask(.verification, MissionScenarios.question))
      let id = try #require(mission.question?.id)
      _ = try mission.events(of: .answer(eva, questionID: id, Answer(value: .yes(true))))
      _ = try mission.events(of: .begin(.verification))
    }
    _ = try mission.events(of: .ask(.verification, MissionScenarios.question))
    let id = try #require(mission.question?.id)
    #expect(refused(mission, .answer(eva, questionID: id, Answer(value: .yes(true)))) == .resourceExhausted)
    _ = try mission.events(of: .cancel(eva))
    #expect(mission.state == .cancelled && mission.changes.count == Mission.maximumChanges)
  }
}
