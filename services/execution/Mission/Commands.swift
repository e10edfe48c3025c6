import Foundation
import Messages
import RPC

/// The commands of people, and the deadline. What changes the mission itself is in `Modification.swift`.
extension Mission {
  static let longestAnswer = 10_000

  mutating func approve(_ by: By, _ now: Date) throws -> [Effect] {
    switch state {
    case .pendingApproval:
      let change = try note(.approve, by, now)
      // One that was changed beyond what had been approved goes back to where it stood.
      let next: MissionState = question != nil ? .awaitingInput : isHeld ? .paused : .approved
      return [enter(next, "approved by \(by.text)", now, change: change)]
    case .cancelled, .rejected: throw refusal("approved")
    default: return []
    }
  }

  mutating func reject(_ by: By, _ now: Date) throws -> [Effect] {
    if state == .rejected { return [] }
    guard state == .pendingApproval else { throw refusal("rejected") }
    let change = try note(.reject, by, now)
    error = Failure(code: "REJECTED", message: "rejected by \(by.text)")
    let hasBegun = !steps.isEmpty
    return [enter(.rejected, "rejected by \(by.text)", now, change: change)] + (hasBegun ? [.releaseReservation] : [])
  }

  mutating func cancel(_ by: By, _ now: Date) throws -> [Effect] {
    if state == .cancelled { return [] }
    guard !state.isTerminal else { throw refusal("cancelled") }
    let change = try note(.cancel, by, now)
    error = Failure(code: "CANCELLED", message: "cancelled by \(by.text)")
    endRunningStep(.cancelled, now)
    return [enter(.cancelled, "cancelled by \(by.text)", now, change: change), .releaseReservation]
  }

  mutating func expire(_ now: Date) -> [Effect] {
    guard !state.isTerminal, let deadline, deadline.date <= now else { return [] }
    let failure = Failure(code: "DEADLINE_EXCEEDED", message: "the mission's deadline has passed")
    error = failure
    var effects: [Effect] = []
    if let step = runningStep {
      endRunningStep(.failed, now, message: failure.message)
      effects.append(event(.stepFailed, step, failure.message, now))
    }
    return effects + [enter(.failed, failure.message, now), .releaseReservation]
  }

  mutating func pause(_ by: By, _ isInterruptible: Bool, _ now: Date) throws -> [Effect] {
    switch state {
    case .paused: return []
    case .approved, .running: break
    default: throw refusal("paused")
    }
    if let step = runningStep, !isInterruptible {
      if pendingPause != nil { return [] }
      let change = try note(.pause, by, now, applied: false)
      let message = "to be paused after the \(step.label) step by \(by.text)"
      return [event(.missionChanged, step, message, now, change: change)]
    }
    let change = try note(.pause, by, now, stale: runningStep.map { [$0] } ?? [])
    endRunningStep(.interrupted, now)
    return [enter(.paused, "paused by \(by.text)", now, change: change)]
  }

  mutating func resume(_ by: By, _ now: Date) throws -> [Effect] {
    switch state {
    case .paused:
      let change = try note(.resume, by, now)
      return [enter(steps.isEmpty ? .approved : .running, "resumed by \(by.text)", now, change: change)]
    case .running, .approved, .awaitingInput:
      guard pendingPause != nil else {
        if state == .awaitingInput { throw refusal("resumed") }
        return []
      }
      let change = try note(.resume, by, now)
      return [event(.missionChanged, change.step, "pause taken back by \(by.text)", now, change: change)]
    default: throw refusal("resumed")
    }
  }

  mutating func answer(_ by: By, _ questionID: String, _ answer: Answer, _ now: Date) throws -> [Effect] {
    guard state == .awaitingInput, let question else { throw refusal("answered") }
    guard question.id == questionID else {
      let why =
        questionID.isEmpty
        ? "questionId is missing; the open question is \"\(question.id)\""
        : "the open question of mission \(id) is \"\(question.id)\", not \"\(questionID)\""
      throw Status(.failedPrecondition, why)
    }
    try question.check(answer)
    let change = try note(.answer, by, now)
    answers.append(
      AnsweredQuestion(question: question, answer: answer, actor: by.actor, time: GoogleProtobufTimestamp(now)))
    self.question = nil
    let answered = enter(.running, "answered by \(by.text)", now, change: change)
    return [answered] + applyPendingPause(now)
  }

  /// Closes the record of the step that runs, if one does.
  mutating func endRunningStep(_ outcome: StepOutcome, _ now: Date, message: String? = nil) {
    guard runningStep != nil, let index = steps.indices.last else { return }
    steps[index].outcome = outcome
    steps[index].endedAt = GoogleProtobufTimestamp(now)
    if let message { steps[index].message = message }
  }
}

extension Question {
  /// Throws `Status` INVALID_ARGUMENT where the answer is not of the question's kind.
  func check(_ answer: Answer) throws {
    let fault: String? =
      switch (kind, answer.value) {
      case (.yesNo, .yes): nil
      case (.choice, .choice(let choice)):
        options.contains(choice) ? nil : "\"\(choice)\" is none of: \(options.joined(separator: ", "))"
      case (.text, .text(let text)):
        (1...Mission.longestAnswer).contains(text.count)
          ? nil : "an answer has 1 to \(Mission.longestAnswer) characters, not \(text.count)"
      case (.number, .number(let number)): number.isFinite ? nil : "the answer is no finite number"
      default: "the question \"\(id)\" is to be answered with \(kind.answerText)"
      }
    if let fault { throw Status(.invalidArgument, fault) }
  }
}

extension AnswerKind {
  fileprivate var answerText: String {
    switch self {
    case .yesNo: "yes or no"
    case .choice: "one of its options"
    case .text: "a text"
    case .number: "a number"
    case .unspecified, .unrecognized: "nothing that this version knows"
    }
  }
}
