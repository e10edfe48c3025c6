import Foundation
import Messages
import RPC
import TestSupport
import Testing

@testable import ExecutionService

@Suite struct TransitionTests {
  private let now = Date(timeIntervalSince1970: 1_700_000_000)

  private func mission(_ state: MissionState = .pendingApproval) -> Mission {
    Mission(id: "m", objective: "o", state: state, owner: "a")
  }

  private func events(_ effects: [Effect]) -> [ProgressEvent] {
    effects.compactMap { if case .event(let event) = $0 { event } else { nil } }
  }

  /// Takes a mission through all six steps and gives every event on the way.
  private func runThrough(_ mission: inout Mission) throws -> [ProgressEvent] {
    var seen: [ProgressEvent] = []
    while let step = mission.currentStep {
      seen += events(try mission.apply(.begin(step), at: now))
      seen += events(try mission.apply(.complete(step, message: ""), at: now))
    }
    return seen
  }

  @Test func aMissionGoesThroughItsSixStepsInOrder() throws {
    var mission = mission(.approved)
    let events = try runThrough(&mission)
    #expect(mission.state == .succeeded)
    #expect(mission.percent == 100)
    #expect(mission.steps.map(\.step) == Step.sequence)
    #expect(mission.steps.allSatisfy { $0.outcome == .completed })
    #expect(events.filter { $0.type == .stepStarted }.map(\.step) == Step.sequence)
    #expect(events.filter { $0.type == .stepCompleted }.map(\.percent) == [5, 30, 40, 55, 80, 100])
    #expect(events.last?.state == .succeeded)
  }

  @Test func approvingTwiceIsNoErrorAndSaysNothing() throws {
    var mission = mission()
    #expect(try mission.apply(.approve(By(actor: "eva")), at: now).count == 1)
    let approved = mission
    #expect(try mission.apply(.approve(By(actor: "eva")), at: now).isEmpty)
    #expect(mission == approved)
  }

  @Test(arguments: [MissionState.succeeded, .failed, .cancelled, .rejected])
  func nothingBeginsAfterTheEnd(_ state: MissionState) throws {
    for step in Step.sequence {
      var mission = mission(state)
      #expect(throws: Status.self) { try mission.apply(.begin(step), at: now) }
      #expect(throws: Status.self) { try mission.apply(.complete(step, message: ""), at: now) }
      #expect(throws: Status.self) { try mission.apply(.report(step, fraction: 1, message: ""), at: now) }
      #expect(mission.state == state)
    }
  }

  @Test func cancellingARunningMissionFreesItsReservationAndClosesItsStep() throws {
    var mission = mission(.approved)
    _ = try mission.apply(.begin(.verification), at: now)
    let effects = try mission.apply(.cancel(By(actor: "eva", reason: "late")), at: now)
    #expect(mission.state == .cancelled)
    #expect(mission.steps.last?.outcome == .cancelled)
    #expect(mission.error?.message == "cancelled by eva: late")
    #expect(effects.contains { if case .releaseReservation = $0 { true } else { false } })
  }

  @Test func aFailedToolIsAnOutcomeToLearnFrom() throws {
    var mission = mission(.approved)
    mission.intent = Intent(name: "calculation")
    mission.choice = ToolChoice(tool: "calculate")
    for step in Step.sequence.prefix(4) {
      _ = try mission.apply(.begin(step), at: now)
      _ = try mission.apply(.complete(step, message: ""), at: now)
    }
    _ = try mission.apply(.begin(.execution), at: now)
    let effects = try mission.apply(.fail(.execution, Failure(code: "X", message: "broken"), isOfTool: true), at: now)
    let outcomes = effects.compactMap { if case .recordOutcome(let outcome) = $0 { outcome } else { nil } }
    #expect(outcomes.map(\.succeeded) == [false])
    #expect(events(effects).map(\.type) == [.stepFailed, .stateChanged])
    #expect(events(effects).allSatisfy { $0.error?.code == "X" })
  }

  @Test func goingOnAfterARestartIsNotASecondStart() throws {
    var mission = mission(.approved)
    _ = try mission.apply(.begin(.verification), at: now)
    let again = events(try mission.apply(.begin(.verification), at: now))
    #expect(again.map(\.type) == [.stepProgress])
    #expect(mission.steps.count == 1)
  }

  /// Whatever comes in whatever order: percent never falls, a completed step is never begun again, the end is the end.
  @Test func randomTransitionsKeepThePromises() throws {
    var random = SeededRandom()
    for _ in 0..<2_000 {
      var mission = mission()
      var completed: Set<Int32> = []
      for _ in 0..<40 {
        let before = mission
        let transition = Self.transition(&random)
        guard let effects = try? mission.apply(transition, at: now) else {
          #expect(mission == before, "a refused transition must change nothing")
          continue
        }
        #expect(mission.percent >= before.percent)
        #expect((0...100).contains(mission.percent))
        if before.state.isTerminal { #expect(mission == before && effects.isEmpty) }
        for event in events(effects) {
          if event.type == .stepStarted { #expect(!completed.contains(event.step.rawValue)) }
          if event.type == .stepCompleted { #expect(completed.insert(event.step.rawValue).inserted) }
        }
      }
    }
  }

  private static func transition(_ random: inout SeededRandom) -> Transition {
    let step = Step.sequence.randomElement(using: &random) ?? .verification
    switch Int.random(in: 0..<20, using: &random) {
    case 0: return .cancel(By(actor: "x"))
    case 1: return .reject(By(actor: "x"))
    case 2: return .fail(step, Failure(code: "X"), isOfTool: Bool.random(using: &random))
    case 3...5: return .approve(By(actor: "x"))
    case 6...11: return .begin(step)
    case 12...14: return .report(step, fraction: Double.random(in: -1...2, using: &random), message: "")
    default: return .complete(step, message: "")
    }
  }
}
