import Foundation
import Messages
import TestSupport
import Testing

@testable import ExecutionService

/// The promises of a mission under any sequence of commands and steps.
@Suite struct MissionPropertyTests {
  private let now = MissionScenarios.now

  /// One transition as the model sees it: refused ones must change nothing.
  private func apply(_ transition: Transition, to mission: inout Mission, _ model: inout MissionModel) {
    let before = mission
    if case .complete(let step, _) = transition, mission.runningStep == step {
      // What the pipeline sets together with a step's completion.
      MissionScenarios.found(&mission, by: step)
    }
    let prepared = mission
    guard let effects = try? mission.apply(transition, at: now) else {
      #expect(mission == prepared, "a refused transition must change nothing")
      mission = before
      return
    }
    model.saw(transition, before, mission, effects)
  }

  private func check(_ model: MissionModel, isHarmful: Bool) {
    guard isHarmful else { return }
    #expect(model.calls <= 1 + model.questions, "a tool that takes effect twice was called again unasked")
  }

  @Test(arguments: [false, true]) func randomSequencesKeepThePromises(_ isHarmful: Bool) {
    var random = SeededRandom()
    var (ends, longest) = ([MissionState: Int](), 0)
    let source = TransitionSource(isHarmful: isHarmful)
    for _ in 0..<4_000 {
      var mission = MissionScenarios.new()
      var model = MissionModel()
      for _ in 0..<60 {
        let transition = source.transition(mission, &random)
        // Doubled: what a client or a network repeats.
        for _ in 0..<(Int.random(in: 0..<5, using: &random) == 0 ? 2 : 1) { apply(transition, to: &mission, &model) }
      }
      check(model, isHarmful: isHarmful)
      ends[mission.state, default: 0] += 1
      longest = max(longest, mission.steps.count)
    }
    print("ends: \(ends.map { "\($0.key.label) \($0.value)" }.sorted()), at most \(longest) step records")
    #expect(Set(ends.keys).isSuperset(of: [.succeeded, .failed, .cancelled, .rejected, .running, .paused]))
    #expect(longest > Step.sequence.count)
  }

  /// Every pair of commands, in both orders and doubled, at every boundary of a mission's way.
  @Test(arguments: [false, true]) func everyPairOfCommandsAtEveryBoundary(_ isHarmful: Bool) {
    let commands = commands(isHarmful)
    var sequences = 0
    for boundary in 0...13 {
      for first in commands {
        for second in commands {
          var mission = MissionScenarios.new()
          if boundary % 3 == 0 { mission.deadline = GoogleProtobufTimestamp(now) }
          var model = MissionModel()
          for position in 0..<60 {
            if position == boundary {
              for command in [first, second, second, first] { apply(command(mission), to: &mission, &model) }
            }
            apply(next(mission), to: &mission, &model)
          }
          check(model, isHarmful: isHarmful)
          #expect(mission.state.isTerminal, "after boundary \(boundary) it does not end: \(mission.state.label)")
          sequences += 1
        }
      }
    }
    print("\(sequences) sequences")
  }

  private func commands(_ isHarmful: Bool) -> [(Mission) -> Transition] {
    let by = By(actor: "eva")
    func canStop(_ mission: Mission) -> Bool { !(isHarmful && mission.runningStep == .execution) }
    let plain: [(Mission) -> Transition] = [
      { _ in .approve(by) }, { _ in .reject(by) }, { _ in .cancel(by) }, { _ in .resume(by) }, { _ in .expire },
      { mission in .pause(by, isInterruptible: canStop(mission)) },
      { mission in .answer(by, questionID: mission.question?.id ?? "", Answer(value: .yes(true))) },
      { mission in .ask(mission.runningStep ?? .intent, MissionScenarios.question) },
    ]
    var modifications = [
      Modification(objective: "2"), Modification(setParameters: ["a": "2"]), Modification(priority: 2),
      Modification(budget: Money(micros: 100, currency: "USD")), Modification(requestedTool: "calculate"),
      Modification(budget: Money(micros: 9_000, currency: "USD"), isBeyondPolicy: true),
    ]
    for index in modifications.indices { modifications[index].mayRunToolAgain = !isHarmful }
    let changing = modifications.map { modification -> (Mission) -> Transition in
      { mission in .modify(by, modification, isInterruptible: canStop(mission)) }
    }
    return plain + changing
  }

  /// What people and the pipeline do so that a mission gets to its end.
  private func next(_ mission: Mission) -> Transition {
    let by = By(actor: "eva")
    switch mission.state {
    case .pendingApproval: return .approve(by)
    case .paused: return .resume(by)
    case .awaitingInput: return .answer(by, questionID: mission.question?.id ?? "", Answer(value: .yes(true)))
    default:
      let step = mission.runningStep ?? mission.currentStep ?? .finalize
      return mission.runningStep == nil ? .begin(step) : .complete(step, message: "")
    }
  }
}
