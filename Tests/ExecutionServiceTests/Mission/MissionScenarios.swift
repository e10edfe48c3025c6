import Foundation
import Messages

@testable import ExecutionService

/// Missions as the tests of the state machine begin with them.
enum MissionScenarios {
  static let now = Date(timeIntervalSince1970: 1_700_000_000)
  static let eva = By(actor: "eva")
  static let question = Question(id: "q", prompt: "Did it take effect?", kind: .yesNo)

  static func new() -> Mission {
    Mission(
      id: "m", objective: "1 + 1", state: .pendingApproval, owner: "eva", parameters: ["a": "1"],
      budget: Money(micros: 1_000, currency: "USD"))
  }

  /// Approved by policy, and taken through the steps before `step`, which then runs.
  static func running(_ step: Step = .verification) throws -> Mission {
    var mission = try approved()
    for earlier in Step.sequence.prefix(while: { $0 != step }) { try run(&mission, earlier) }
    _ = try mission.apply(.begin(step), at: now)
    return mission
  }

  static func approved(by actor: String = By.policy) throws -> Mission {
    var mission = new()
    _ = try mission.apply(.approve(By(actor: actor)), at: now)
    return mission
  }

  static func ended(_ state: MissionState) throws -> Mission {
    var mission = try running(.finalize)
    switch state {
    case .succeeded: _ = try mission.apply(.complete(.finalize, message: ""), at: now)
    case .failed: _ = try mission.apply(.fail(.finalize, Failure(code: "X"), isOfTool: false), at: now)
    case .cancelled: _ = try mission.apply(.cancel(eva), at: now)
    default:
      mission = new()
      _ = try mission.apply(.reject(eva), at: now)
    }
    return mission
  }

  /// Begins a step and completes it with what the pipeline would have found.
  static func run(_ mission: inout Mission, _ step: Step) throws {
    _ = try mission.apply(.begin(step), at: now)
    found(&mission, by: step)
    _ = try mission.apply(.complete(step, message: ""), at: now)
  }

  /// Sets what later steps rest on.
  static func found(_ mission: inout Mission, by step: Step) {
    switch step {
    case .intent: mission.intent = Intent(name: "calculation")
    case .budget:
      mission.choice = ToolChoice(
        candidates: [ToolCandidate(tool: "calculate", worstCase: Money(micros: 400, currency: "USD"))])
    case .selection: mission.choice?.tool = "calculate"
    default: break
    }
  }

  static func events(_ effects: [Effect]) -> [ProgressEvent] {
    effects.compactMap { if case .event(let event) = $0 { event } else { nil } }
  }

  static func releases(_ effects: [Effect]) -> Int {
    effects.count { if case .releaseReservation = $0 { true } else { false } }
  }
}

extension Mission {
  /// Applies a transition and gives the events it causes.
  mutating func events(of transition: Transition) throws -> [ProgressEvent] {
    MissionScenarios.events(try apply(transition, at: MissionScenarios.now))
  }

  func outcomes(of step: Step) -> [StepOutcome] { steps.filter { $0.step == step }.map(\.outcome) }
}
