import Foundation
import Messages
import RPC
import Testing

@testable import ExecutionService

@Suite struct ModificationTests {
  private let now = MissionScenarios.now
  private let eva = MissionScenarios.eva

  private func micros(_ amount: Int64) -> Money { Money(micros: amount, currency: "USD") }

  private func refused(_ mission: Mission, _ modification: Modification, isInterruptible: Bool = true) -> Status.Code? {
    var mission = mission
    do {
      _ = try mission.apply(.modify(eva, modification, isInterruptible: isInterruptible), at: now)
      return nil
    } catch {
      return (error as? Status)?.code
    }
  }

  /// Modifies a mission whose `step` runs, and gives the steps that run anew.
  private func stale(_ step: Step, _ modification: Modification) throws -> [Step] {
    var mission = try MissionScenarios.running(step)
    let before = mission
    let events = try mission.events(of: .modify(eva, modification, isInterruptible: true))
    #expect(events.count == 1 && mission.state == .running && mission.percent == before.percent)
    let change = try #require(events[0].change)
    #expect(change == mission.changes.last && change.step == step && change.applied && !change.fields.isEmpty)
    for step in change.staleSteps {
      let isRunning = before.runningStep == step
      #expect(mission.outcomes(of: step) == [isRunning ? .interrupted : .stale])
    }
    let rest = Step.sequence.filter { !change.staleSteps.contains($0) }
    for step in rest { #expect(mission.outcomes(of: step) == before.outcomes(of: step)) }
    return change.staleSteps
  }

  // MARK: - What runs anew

  @Test func anotherObjectiveOrToolMakesEverythingAfterTheIntentStale() throws {
    for modification in [Modification(objective: "2 + 2"), Modification(requestedTool: "calculate")] {
      #expect(try stale(.verification, modification) == [])
      #expect(try stale(.intent, modification) == [.intent])
      #expect(try stale(.selection, modification) == [.intent, .budget, .selection])
      #expect(try stale(.execution, modification) == [.intent, .budget, .selection, .execution])
    }
    var mission = try MissionScenarios.running(.execution)
    let events = try mission.events(of: .modify(eva, Modification(objective: "2 + 2"), isInterruptible: true))
    #expect(mission.currentStep == .intent && mission.intent == nil && mission.choice == nil)
    #expect(events[0].facts?.objective == "2 + 2" && events[0].facts?.tool == "")
    for step in Step.sequence.dropFirst() { try MissionScenarios.run(&mission, step) }
    #expect(mission.state == .succeeded && mission.outcomes(of: .verification) == [.completed])
    #expect(mission.outcomes(of: .intent) == [.stale, .completed])
    #expect(mission.outcomes(of: .execution) == [.interrupted, .completed])
  }

  @Test func otherParametersMakeTheExecutionStale() throws {
    for modification in [Modification(setParameters: ["b": "2"]), Modification(removeParameters: ["a"])] {
      #expect(try stale(.selection, modification) == [])
      #expect(try stale(.execution, modification) == [.execution])
    }
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .complete(.execution, message: ""))
    let change = Modification(setParameters: ["a": "9", "b": "2"], removeParameters: [])
    let events = try mission.events(of: .modify(eva, change, isInterruptible: true))
    #expect(events[0].change?.staleSteps == [.execution] && events[0].facts == nil, "no fact is another")
    #expect(mission.parameters == ["a": "9", "b": "2"] && mission.outcomes(of: .execution) == [.stale])
    #expect(mission.currentStep == .execution && mission.choice?.tool == "calculate")
  }

  @Test func anotherBudgetTouchesOnlyWhatDoesNotFitIt() throws {
    #expect(try stale(.intent, Modification(budget: micros(500))) == [])
    #expect(try stale(.budget, Modification(budget: micros(2_000))) == [.budget], "it goes by the former one")
    #expect(try stale(.execution, Modification(budget: micros(400))) == [], "what is reserved fits")
    #expect(try stale(.execution, Modification(budget: micros(2_000))) == [])
    #expect(try stale(.execution, Modification(budget: micros(399))) == [.budget, .selection, .execution])
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .complete(.execution, message: ""))
    #expect(refused(mission, Modification(budget: micros(399))) == .failedPrecondition, "it may have cost more")
    #expect(refused(mission, Modification(budget: micros(400))) == nil)
  }

  @Test func deadlineAndPriorityTouchNothing() throws {
    let later = GoogleProtobufTimestamp(now.addingTimeInterval(60))
    for step in Step.sequence {
      #expect(try stale(step, Modification(deadline: later)) == [])
      #expect(try stale(step, Modification(priority: 7)) == [])
    }
    var mission = try MissionScenarios.running(.execution)
    mission.deadline = later
    _ = try mission.events(of: .modify(eva, Modification(removesDeadline: true), isInterruptible: false))
    #expect(mission.deadline == nil && mission.runningStep == .execution)
    let events = try mission.events(of: .modify(eva, Modification(priority: 7), isInterruptible: false))
    #expect(events[0].facts?.priority == 7)
  }

  @Test func whatChangesNothingIsNoChange() throws {
    var mission = try MissionScenarios.running(.execution)
    let before = mission
    let same = Modification(objective: "1 + 1", setParameters: ["a": "1"], removeParameters: ["x"], priority: 0)
    #expect(try mission.events(of: .modify(eva, same, isInterruptible: false)).isEmpty && mission == before)
  }

  // MARK: - What is refused

  @Test func aToolWithSideEffectsDoesNotBeginAnew() throws {
    let harmful = Modification(setParameters: ["b": "2"], mayRunToolAgain: false)
    var mission = try MissionScenarios.running(.execution)
    #expect(refused(mission, harmful) == .failedPrecondition)
    _ = try mission.events(of: .pause(eva, isInterruptible: true))
    #expect(refused(mission, harmful) == .failedPrecondition, "it had begun")
    #expect(refused(mission, Modification(objective: "x", mayRunToolAgain: false)) == .failedPrecondition)
    #expect(refused(mission, Modification(priority: 3, mayRunToolAgain: false)) == nil)
    #expect(refused(try MissionScenarios.running(.selection), harmful) == nil, "it has not begun")
  }

  @Test func aRunOfAnotherToolBeforeDoesNotCountAgainstTheChosenOne() throws {
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .modify(eva, Modification(objective: "2"), isInterruptible: true))
    for step in [Step.intent, .budget, .selection] { try MissionScenarios.run(&mission, step) }
    #expect(refused(mission, Modification(setParameters: ["b": "2"], mayRunToolAgain: false)) == nil)
  }

  @Test func whatCannotBeInterruptedIsNotModified() throws {
    let mission = try MissionScenarios.running(.execution)
    #expect(refused(mission, Modification(setParameters: ["b": "2"]), isInterruptible: false) == .failedPrecondition)
    #expect(refused(mission, Modification(priority: 3), isInterruptible: false) == nil)
  }

  @Test func onceTheResultIsStoredOnlyDeadlineAndPriorityChange() throws {
    let mission = try MissionScenarios.running(.finalize)
    #expect(refused(mission, Modification(objective: "x")) == .failedPrecondition)
    #expect(refused(mission, Modification(setParameters: ["b": "2"])) == .failedPrecondition)
    #expect(refused(mission, Modification(priority: 3)) == nil)
    for state in [MissionState.succeeded, .failed, .cancelled, .rejected] {
      #expect(refused(try MissionScenarios.ended(state), Modification(priority: 3)) == .failedPrecondition)
    }
  }

  // MARK: - Held missions

  @Test func aPausedMissionIsModifiedAndStaysPaused() throws {
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .pause(eva, isInterruptible: true))
    let events = try mission.events(of: .modify(eva, Modification(objective: "2"), isInterruptible: true))
    #expect(events.map(\.type) == [.missionChanged] && mission.state == .paused && mission.currentStep == .intent)
    #expect(events[0].change?.staleSteps == [.intent, .budget, .selection, .execution])
  }

  @Test func aQuestionWhoseStepRunsAnewIsWithdrawn() throws {
    var mission = try MissionScenarios.running(.execution)
    _ = try mission.events(of: .ask(.execution, MissionScenarios.question))
    _ = try mission.events(of: .modify(eva, Modification(priority: 3), isInterruptible: true))
    #expect(mission.state == .awaitingInput && mission.question?.id == "q")
    let events = try mission.events(of: .modify(eva, Modification(objective: "2"), isInterruptible: true))
    #expect(events.map(\.state) == [.running] && mission.question == nil && mission.answers.isEmpty)
    #expect(mission.currentStep == .intent)
  }

  // MARK: - Approval

  @Test func whatPolicyWouldNotApproveNeedsAPerson() throws {
    var mission = try MissionScenarios.running(.execution)
    let dear = Modification(budget: micros(9_000), isBeyondPolicy: true)
    #expect(refused(mission, dear, isInterruptible: false) == .failedPrecondition)
    let events = try mission.events(of: .modify(eva, dear, isInterruptible: true))
    #expect(events.map(\.state) == [.pendingApproval] && events[0].change?.staleSteps == [.execution])
    #expect(mission.outcomes(of: .execution) == [.interrupted])
    _ = try mission.events(of: .approve(By(actor: "boss")))
    #expect(mission.state == .approved)
    let started = mission.startedAt
    _ = try mission.events(of: .begin(.execution))
    #expect(mission.state == .running && mission.startedAt == started)
  }

  @Test func policyDecidesOnlyAboutWhatMatters() throws {
    var mission = try MissionScenarios.approved()
    _ = try mission.events(of: .modify(eva, Modification(priority: 9, isBeyondPolicy: true), isInterruptible: true))
    #expect(mission.state == .approved)
    _ = try mission.events(of: .modify(eva, Modification(objective: "x"), isInterruptible: true))
    #expect(mission.state == .approved, "policy approves it still")
    _ = try mission.events(
      of: .modify(eva, Modification(setParameters: ["b": "1"], isBeyondPolicy: true), isInterruptible: true))
    #expect(mission.state == .pendingApproval)
    _ = try mission.events(of: .modify(eva, Modification(objective: "y", isBeyondPolicy: true), isInterruptible: true))
    #expect(mission.state == .pendingApproval)
  }

  @Test func aPersonsApprovalIsOfThisObjectiveToolAndBudget() throws {
    let cases: [(Modification, MissionState)] = [
      (Modification(budget: micros(900), isBeyondPolicy: true), .approved),
      (Modification(priority: 5, isBeyondPolicy: true), .approved),
      (Modification(setParameters: ["b": "2"]), .approved),
      (Modification(setParameters: ["b": "2"], isBeyondPolicy: true), .pendingApproval),
      (Modification(budget: micros(1_001)), .pendingApproval),
      (Modification(objective: "x"), .pendingApproval),
      (Modification(requestedTool: "calculate"), .pendingApproval),
    ]
    for (modification, state) in cases {
      var mission = try MissionScenarios.approved(by: "boss")
      _ = try mission.events(of: .modify(eva, modification, isInterruptible: true))
      #expect(mission.state == state, "\(modification)")
    }
  }

  @Test func whatIsApprovedAnewGoesBackToWhereItStood() throws {
    let dear = Modification(budget: micros(9_000), isBeyondPolicy: true)
    var paused = try MissionScenarios.running(.execution)
    _ = try paused.events(of: .pause(eva, isInterruptible: true))
    _ = try paused.events(of: .modify(eva, dear, isInterruptible: true))
    #expect(paused.state == .pendingApproval)
    _ = try paused.events(of: .approve(By(actor: "boss")))
    #expect(paused.state == .paused)
    var asking = try MissionScenarios.running(.execution)
    _ = try asking.events(of: .ask(.execution, MissionScenarios.question))
    _ = try asking.events(of: .modify(eva, dear, isInterruptible: true))
    #expect(asking.state == .pendingApproval)
    let again = try asking.events(of: .approve(By(actor: "boss")))
    #expect(asking.state == .awaitingInput && again[0].question?.id == "q")
  }
}
