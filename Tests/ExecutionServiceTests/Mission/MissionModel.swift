import Foundation
import Messages
import Testing

@testable import ExecutionService

/// What must hold of a mission whatever happens to it: watches each transition and complains.
struct MissionModel {
  private(set) var finished: Set<Step> = []
  /// How often the reservation was settled or released.
  private(set) var settlements = 0
  /// How often the tool was called, and how often a person was asked about a call.
  private(set) var calls = 0
  private(set) var questions = 0
  private(set) var hasEnded = false

  mutating func saw(_ transition: Transition, _ before: Mission, _ after: Mission, _ effects: [Effect]) {
    #expect(!hasEnded || (effects.isEmpty && after == before), "something happened after the end")
    #expect((0...100).contains(after.percent) && after.percent >= before.percent, "percent fell")
    #expect(!effects.isEmpty || after == before, "what changes the mission is told")
    for event in MissionScenarios.events(effects) { saw(event) }
    for effect in effects {
      if case .releaseReservation = effect { settlements += 1 }
      if case .settleReservation = effect { settlements += 1 }
    }
    #expect(settlements <= 1)
    sawShape(of: after)
    if case .answer(_, let id, _) = transition, !effects.isEmpty {
      #expect(before.state == .awaitingInput && before.question?.id == id, "only the open question is answered")
    }
    #expect(hasEnded == after.state.isTerminal)
  }

  private mutating func saw(_ event: ProgressEvent) {
    #expect(!hasEnded, "an event after the end")
    if let change = event.change, change.command == .modify { finished.subtract(change.staleSteps) }
    switch event.type {
    case .stepStarted:
      #expect(!finished.contains(event.step), "\(event.step.label) had finished, and began again")
      #expect(Step.sequence.prefix { $0 != event.step }.allSatisfy(finished.contains), "an earlier step is missing")
      if event.step == .execution { calls += 1 }
    case .stepCompleted: #expect(finished.insert(event.step).inserted, "\(event.step.label) finished twice")
    case .stateChanged: if event.change == nil, event.question?.step == .execution { questions += 1 }
    default: break
    }
    if event.isLast { hasEnded = true }
  }

  private func sawShape(of mission: Mission) {
    let running = mission.steps.indices.filter { mission.steps[$0].outcome == .running }
    #expect(running.isEmpty || running == [mission.steps.count - 1], "only the last record is of a running step")
    #expect(running.isEmpty || mission.state == .running, "nothing runs while the mission is held")
    #expect(mission.question != nil || mission.state != .awaitingInput)
    #expect(mission.question == nil || [.awaitingInput, .pendingApproval].contains(mission.state))
    #expect(mission.changes.count <= Mission.maximumChanges)
    let completed = Step.sequence.filter { step in
      mission.steps.contains { $0.step == step && $0.outcome == .completed }
    }
    #expect(Set(completed) == finished && completed == Array(Step.sequence.prefix(completed.count)))
  }
}

/// Random commands and steps.
struct TransitionSource {
  /// The mission's tool has side effects and is not idempotent.
  var isHarmful = false
  var now = MissionScenarios.now

  /// Mostly what a pipeline would do next, so that missions get somewhere.
  func step(_ mission: Mission, _ random: inout some RandomNumberGenerator) -> Transition {
    var step = mission.runningStep ?? mission.currentStep ?? .finalize
    if Int.random(in: 0..<8, using: &random) == 0 { step = Step.sequence.randomElement(using: &random) ?? step }
    switch Int.random(in: 0..<40, using: &random) {
    case 0: return .fail(step, Failure(code: "X"), isOfTool: Bool.random(using: &random))
    case 1: return .ask(step, Question(id: ["", "q"].randomElement(using: &random) ?? "", kind: .yesNo))
    case 2: return .wait(for: ["a place", "the tool x"].randomElement(using: &random) ?? "")
    case 3...5: return .report(step, fraction: Double.random(in: -1...2, using: &random), message: "")
    default: return mission.runningStep == nil ? .begin(step) : .complete(step, message: "")
    }
  }

  func command(_ mission: Mission, _ random: inout some RandomNumberGenerator) -> (MissionCommand, Transition) {
    let by = By(actor: ["eva", "bob"].randomElement(using: &random) ?? "")
    let isInterruptible = !(isHarmful && mission.runningStep == .execution)
    switch Int.random(in: 0..<60, using: &random) {
    case 0: return (.cancel, .cancel(by))
    case 1: return (.reject, .reject(by))
    case 2...15: return (.approve, .approve(by))
    case 16...23: return (.pause, .pause(by, isInterruptible: isInterruptible))
    case 24...35: return (.resume, .resume(by))
    case 36...45:
      let open = mission.question?.id ?? "q"
      let id = Int.random(in: 0..<5, using: &random) == 0 ? "another" : open
      return (.answer, .answer(by, questionID: id, Answer(value: .yes(Bool.random(using: &random)))))
    default:
      return (.modify, .modify(by, modification(&random), isInterruptible: isInterruptible))
    }
  }

  private func modification(_ random: inout some RandomNumberGenerator) -> Modification {
    var modification = Modification(
      isBeyondPolicy: Int.random(in: 0..<4, using: &random) == 0, mayRunToolAgain: !isHarmful)
    let number = Int.random(in: 0..<4, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: modification.objective = "\(number) + 1"
    case 1: modification.setParameters = ["a": "\(number)"]
    case 2: modification.budget = Money(micros: Int64(number) * 300, currency: "USD")
    case 3: modification.deadline = GoogleProtobufTimestamp(now.addingTimeInterval(Double(number) * 9_000 - 9_000))
    case 4: modification.requestedTool = number == 0 ? "" : "calculate"
    default: modification.priority = Int32(number)
    }
    return modification
  }

  func transition(_ mission: Mission, _ random: inout some RandomNumberGenerator) -> Transition {
    switch Int.random(in: 0..<120, using: &random) {
    case 0: .expire
    case 1..<48: command(mission, &random).1
    default: step(mission, &random)
    }
  }
}
