import Foundation
import Messages
import RPC

/// What can happen to a mission.
///
/// ```
/// PENDING_APPROVAL ──approve──▶ APPROVED ──begin──▶ RUNNING ──complete(finalize)──▶ SUCCEEDED
///        │                          │                  ├──fail──▶ FAILED
///        ├──reject──▶ REJECTED      │                  │
///        └──cancel──────────────────┴──cancel──────────┴──cancel──▶ CANCELLED
/// ```
enum Transition: Sendable {
  case approve(actor: String)
  case reject(actor: String, reason: String)
  case cancel(actor: String, reason: String)
  /// The deadline has passed.
  case expire
  /// It needs something that others have; see `Mission.waitingFor`.
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
  /// Approving, rejecting or cancelling what already is so changes nothing and has no effects. Throws `Status`
  /// FAILED_PRECONDITION, leaving the mission as it was, where the state does not allow the transition.
  mutating func apply(_ transition: Transition, at now: Date) throws -> [Effect] {
    switch transition {
    case .approve(let actor): try approve(actor, now)
    case .reject(let actor, let reason): try reject(actor, reason, now)
    case .cancel(let actor, let reason): try cancel(actor, reason, now)
    case .expire: expire(now)
    case .wait(let what): try wait(for: what, now)
    case .begin(let step): try begin(step, now)
    case .report(let step, let fraction, let message): try report(step, fraction, message, now)
    case .complete(let step, let message): try complete(step, message, now)
    case .fail(let step, let error, let isOfTool): try fail(step, error, isOfTool, now)
    }
  }

  /// The first step that is not completed; nil when all are.
  var currentStep: Step? {
    Step.sequence.first { step in !steps.contains { $0.step == step && $0.outcome == .completed } }
  }

  // MARK: - Commands of people

  private mutating func approve(_ actor: String, _ now: Date) throws -> [Effect] {
    switch state {
    case .pendingApproval: return [enter(.approved, "approved by \(actor)", now)]
    case .cancelled, .rejected: throw refusal("approved")
    default: return []
    }
  }

  private mutating func reject(_ actor: String, _ reason: String, _ now: Date) throws -> [Effect] {
    if state == .rejected { return [] }
    guard state == .pendingApproval else { throw refusal("rejected") }
    let message = "rejected by \(actor)" + (reason.isEmpty ? "" : ": \(reason)")
    error = Failure(code: "REJECTED", message: message)
    return [enter(.rejected, message, now)]
  }

  private mutating func cancel(_ actor: String, _ reason: String, _ now: Date) throws -> [Effect] {
    if state == .cancelled { return [] }
    guard !state.isTerminal else { throw refusal("cancelled") }
    let message = "cancelled by \(actor)" + (reason.isEmpty ? "" : ": \(reason)")
    error = Failure(code: "CANCELLED", message: message)
    if let running = steps.lastIndex(where: { $0.outcome == .running }) {
      steps[running].outcome = .cancelled
      steps[running].endedAt = GoogleProtobufTimestamp(now)
    }
    return [enter(.cancelled, message, now), .releaseReservation]
  }

  /// Nothing happens to what has ended.
  private mutating func expire(_ now: Date) -> [Effect] {
    guard !state.isTerminal else { return [] }
    let failure = Failure(code: "DEADLINE_EXCEEDED", message: "the mission's deadline has passed")
    error = failure
    waitingFor = ""
    var effects: [Effect] = []
    if let running = steps.lastIndex(where: { $0.outcome == .running }) {
      steps[running].outcome = .failed
      steps[running].endedAt = GoogleProtobufTimestamp(now)
      steps[running].message = failure.message
      effects.append(event(.stepFailed, steps[running].step, failure.message, now))
    }
    return effects + [enter(.failed, failure.message, now), .releaseReservation]
  }

  // MARK: - Steps

  private mutating func wait(for what: String, _ now: Date) throws -> [Effect] {
    guard state == .running else { throw refusal("made to wait") }
    if waitingFor == what { return [] }
    waitingFor = what
    return [event(.missionChanged, .unspecified, "waiting for \(what)", now)]
  }

  private mutating func begin(_ step: Step, _ now: Date) throws -> [Effect] {
    guard state == .running || state == .approved, step == currentStep else { throw refusal("at \(step.label)") }
    var effects: [Effect] = []
    if state == .approved {
      startedAt = GoogleProtobufTimestamp(now)
      effects.append(enter(.running, "", now))
    }
    percent = max(percent, step.percentRange.lowerBound)
    waitingFor = ""
    if steps.last?.step == step {
      effects.append(event(.stepProgress, step, "going on after an interruption", now))
    } else {
      steps.append(StepRecord(step: step, outcome: .running, startedAt: GoogleProtobufTimestamp(now)))
      effects.append(event(.stepStarted, step, "", now))
    }
    return effects
  }

  private mutating func report(
    _ step: Step, _ fraction: Double, _ message: String, _ now: Date
  ) throws -> [Effect] {
    let index = try runningStep(step)
    let range = step.percentRange
    let share = fraction.isFinite ? min(max(fraction, 0), 1) : 0
    percent = max(percent, range.lowerBound + share * (range.upperBound - range.lowerBound))
    steps[index].message = message
    return [event(.stepProgress, step, message, now)]
  }

  private mutating func complete(_ step: Step, _ message: String, _ now: Date) throws -> [Effect] {
    let index = try runningStep(step)
    percent = max(percent, step.percentRange.upperBound)
    steps[index].outcome = .completed
    steps[index].endedAt = GoogleProtobufTimestamp(now)
    steps[index].message = message
    let completed = event(.stepCompleted, step, message, now)
    guard step == .finalize else { return [completed] }
    return [completed, enter(.succeeded, "", now)] + outcome(succeeded: true, now)
  }

  private mutating func fail(
    _ step: Step, _ error: Failure, _ isOfTool: Bool, _ now: Date
  ) throws -> [Effect] {
    let index = try runningStep(step)
    steps[index].outcome = .failed
    steps[index].endedAt = GoogleProtobufTimestamp(now)
    steps[index].message = error.message
    self.error = error
    let failed = event(.stepFailed, step, error.message, now)
    return [failed, enter(.failed, error.message, now), .releaseReservation]
      + (isOfTool ? outcome(succeeded: false, now) : [])
  }

  private func runningStep(_ step: Step) throws -> Int {
    guard state == .running, let index = steps.indices.last, steps[index].step == step,
      steps[index].outcome == .running
    else { throw refusal("at \(step.label)") }
    return index
  }

  // MARK: - Events

  private mutating func enter(_ state: MissionState, _ message: String, _ now: Date) -> Effect {
    self.state = state
    if state.isTerminal { finishedAt = GoogleProtobufTimestamp(now) }
    return event(.stateChanged, .unspecified, message, now)
  }

  /// An event without its sequence number, which the store gives.
  private func event(_ type: EventType, _ step: Step, _ message: String, _ now: Date) -> Effect {
    .event(
      ProgressEvent(
        missionId: id, time: GoogleProtobufTimestamp(now), type: type, step: step, percent: percent, message: message,
        state: state, error: state == .failed || type == .stepFailed ? error : nil))
  }

  /// The event that makes a new mission known.
  func submitted(at now: Date) -> Effect { event(.stateChanged, .unspecified, "submitted", now) }

  private func outcome(succeeded: Bool, _ now: Date) -> [Effect] {
    guard let tool = choice?.tool, !tool.isEmpty, let intent = intent?.name else { return [] }
    return [
      .recordOutcome(
        RecordOutcomeRequest(
          missionId: id, tool: tool, intent: intent, succeeded: succeeded, time: GoogleProtobufTimestamp(now)))
    ]
  }

  private func refusal(_ what: String) -> Status {
    Status(.failedPrecondition, "mission \(id) is \(state.label); it cannot be \(what)")
  }
}
