import Foundation
import Messages
import RPC

/// Who gives a command, and why.
struct By: Sendable, Hashable {
  /// The actor of what the approval policy approves.
  static let policy = "policy"

  var actor: String
  var reason = ""
  /// Empty if the request had none.
  var requestID = ""

  var text: String { actor + (reason.isEmpty ? "" : ": \(reason)") }
}

/// What can happen to a mission.
///
/// ```
/// PENDING_APPROVAL ──approve──▶ APPROVED ──begin──▶ RUNNING ──complete(finalize)──▶ SUCCEEDED
///    │    ▲                        │  ▲              │ │ │ ▲
///    │    └─modify beyond policy───┴──│──────────────┤ │ │ └──────answer──────┐
///    │       (from any state here)    │     pause    │ │ └─────ask──▶ AWAITING_INPUT
///    │                                └──resume──┐   │ └──fail, expire──▶ FAILED
///    │                                PAUSED ◀───┴───┘
///    ├──reject──▶ REJECTED               └──resume──▶ RUNNING, if it had begun
///    └──cancel──▶ CANCELLED      (from any state here; `expire` likewise leads to FAILED)
/// ```
///
/// The README beside `Main.swift` has the table of all states and commands.
enum Transition: Sendable {
  case approve(By)
  case reject(By)
  case cancel(By)
  /// - `isInterruptible`: whether the running step can be stopped half way; the pause waits for its end otherwise.
  case pause(By, isInterruptible: Bool)
  case resume(By)
  /// - `isInterruptible`: as of `pause`; what would have to stop a step that cannot be stopped is refused.
  case modify(By, Modification, isInterruptible: Bool)
  case answer(By, questionID: String, Answer)
  /// The deadline has passed. Nothing happens where it was moved or removed meanwhile.
  case expire
  /// The running step cannot go on without a person's answer. An id is given to a question without one.
  case ask(Step, Question)
  /// The mission could run, but something that it needs is taken: for example "the tool data_analyze".
  case wait(for: String)
  /// A step starts, or goes on after the process that ran it has died or its storage failed.
  case begin(Step)
  /// `fraction` of the step is done, 0 to 1.
  case report(Step, fraction: Double, message: String)
  case complete(Step, message: String)
  /// - `isOfTool`: the chosen tool itself failed.
  case fail(Step, Failure, isOfTool: Bool)
}

/// What leaves the service because of a transition. Written to the outbox together with the mission.
enum Effect: Sendable {
  case event(ProgressEvent)
  /// The mission will spend nothing more.
  case releaseReservation
  /// The mission spent this, and the ledger could not be told so directly.
  case settleReservation(SettleRequest)
  /// How the chosen tool did.
  case recordOutcome(RecordOutcomeRequest)
}

extension Mission {
  /// Applies a transition; pure but for the time it is given.
  ///
  /// A command for what already is so (approving, cancelling, pausing … twice) changes nothing and has no effects.
  /// Throws `Status`, leaving the mission as it was: FAILED_PRECONDITION where the state does not allow the transition,
  /// INVALID_ARGUMENT for an answer that does not fit its question, RESOURCE_EXHAUSTED for too many commands.
  mutating func apply(_ transition: Transition, at now: Date) throws -> [Effect] {
    var next = self
    let effects = try next.effects(of: transition, now)
    self = next
    return effects
  }

  /// Applies one after another. A step that follows in `transitions` is not begun where a pause, which had waited for
  /// the end of the one before, holds the mission now.
  mutating func apply(_ transitions: [Transition], at now: Date) throws -> [Effect] {
    var next = self
    var effects: [Effect] = []
    for transition in transitions {
      if case .begin = transition, next.state == .paused, state == .running { break }
      effects += try next.effects(of: transition, now)
    }
    self = next
    return effects
  }

  private mutating func effects(of transition: Transition, _ now: Date) throws -> [Effect] {
    switch transition {
    case .approve(let by): try approve(by, now)
    case .reject(let by): try reject(by, now)
    case .cancel(let by): try cancel(by, now)
    case .pause(let by, let isInterruptible): try pause(by, isInterruptible, now)
    case .resume(let by): try resume(by, now)
    case .modify(let by, let modification, let isInterruptible): try modify(by, modification, isInterruptible, now)
    case .answer(let by, let id, let answer): try self.answer(by, id, answer, now)
    case .expire: expire(now)
    case .ask(let step, let question): try ask(step, question, now)
    case .wait(let what): try wait(for: what, now)
    case .begin(let step): try begin(step, now)
    case .report(let step, let fraction, let message): try report(step, fraction, message, now)
    case .complete(let step, let message): try complete(step, message, now)
    case .fail(let step, let error, let isOfTool): try fail(step, error, isOfTool, now)
    }
  }

  /// The first step that is not completed, or was but is stale; nil when all are.
  var currentStep: Step? {
    Step.sequence.first { step in !steps.contains { $0.step == step && $0.outcome == .completed } }
  }

  /// The step that runs now; nil where the mission stands between two, is held or has ended.
  var runningStep: Step? { steps.last.flatMap { $0.outcome == .running ? $0.step : nil } }

  // MARK: - Events

  mutating func enter(
    _ state: MissionState, _ message: String, _ now: Date, change: MissionChange? = nil, withFacts: Bool = false
  ) -> Effect {
    self.state = state
    waitingFor = ""
    if state.isTerminal {
      finishedAt = GoogleProtobufTimestamp(now)
      question = nil
    }
    return event(.stateChanged, .unspecified, message, now, change: change, withFacts: withFacts)
  }

  /// An event without its sequence number, which the store gives.
  func event(
    _ type: EventType, _ step: Step, _ message: String, _ now: Date, change: MissionChange? = nil,
    withFacts: Bool = false
  ) -> Effect {
    .event(
      ProgressEvent(
        missionId: id, time: GoogleProtobufTimestamp(now), type: type, step: step, percent: percent, message: message,
        state: state, error: state == .failed || type == .stepFailed ? error : nil, actor: change?.actor ?? "",
        facts: withFacts ? facts : nil, change: change,
        question: type == .stateChanged && state == .awaitingInput ? question : nil))
  }

  /// The event that makes a new mission known.
  func submitted(at now: Date) -> Effect { event(.stateChanged, .unspecified, "submitted", now, withFacts: true) }

  /// What the mission is told apart by.
  var facts: MissionFacts {
    let tool = choice?.tool ?? ""
    return MissionFacts(
      owner: owner, labels: labels, recipe: recipe, recipeVersion: recipeVersion,
      objective: String(objective.prefix(Self.longestSummary)), intent: intent?.name ?? "",
      tool: tool.isEmpty ? requestedTool : tool, priority: priority, parentId: parentId)
  }

  func refusal(_ what: String) -> Status {
    Status(.failedPrecondition, "mission \(id) is \(state.label); it cannot be \(what)")
  }
}
