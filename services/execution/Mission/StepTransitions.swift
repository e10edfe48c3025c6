import Foundation
import Messages
import RPC

/// What the run of a mission tells about its steps.
extension Mission {
  mutating func begin(_ step: Step, _ now: Date) throws -> [Effect] {
    guard state == .running || state == .approved, step == currentStep else { throw refusal("at \(step.label)") }
    var effects: [Effect] = []
    if state == .approved {
      startedAt = startedAt ?? GoogleProtobufTimestamp(now)
      effects.append(enter(.running, "", now))
    }
    waitingFor = ""
    percent = max(percent, step.percentRange.lowerBound)
    if runningStep == step {
      effects.append(event(.stepProgress, step, "going on after an interruption", now))
    } else {
      steps.append(StepRecord(step: step, outcome: .running, startedAt: GoogleProtobufTimestamp(now)))
      effects.append(event(.stepStarted, step, "", now))
    }
    return effects
  }

  mutating func report(_ step: Step, _ fraction: Double, _ message: String, _ now: Date) throws -> [Effect] {
    let index = try index(of: step)
    let range = step.percentRange
    let share = fraction.isFinite ? min(max(fraction, 0), 1) : 0
    percent = max(percent, range.lowerBound + share * (range.upperBound - range.lowerBound))
    steps[index].message = message
    return [event(.stepProgress, step, message, now)]
  }

  mutating func complete(_ step: Step, _ message: String, _ now: Date) throws -> [Effect] {
    _ = try index(of: step)
    percent = max(percent, step.percentRange.upperBound)
    endRunningStep(.completed, now, message: message)
    let isFact = step == .intent || step == .selection
    let completed = event(.stepCompleted, step, message, now, withFacts: isFact)
    guard step == .finalize else { return [completed] + applyPendingPause(now) }
    return [completed, enter(.succeeded, "", now)] + outcome(succeeded: true, now)
  }

  mutating func fail(_ step: Step, _ error: Failure, _ isOfTool: Bool, _ now: Date) throws -> [Effect] {
    _ = try index(of: step)
    endRunningStep(.failed, now, message: error.message)
    self.error = error
    let failed = event(.stepFailed, step, error.message, now)
    return [failed, enter(.failed, error.message, now), .releaseReservation]
      + (isOfTool ? outcome(succeeded: false, now) : [])
  }

  mutating func ask(_ step: Step, _ question: Question, _ now: Date) throws -> [Effect] {
    _ = try index(of: step)
    var question = question
    if question.id.isEmpty || answers.contains(where: { $0.question?.id == question.id }) {
      // A step asks once in each of its runs, and every run has a record.
      question.id = "\(step.label)-\(steps.count)"
    }
    question.step = step
    question.askedAt = GoogleProtobufTimestamp(now)
    endRunningStep(.interrupted, now, message: question.prompt)
    self.question = question
    return [enter(.awaitingInput, question.prompt, now)]
  }

  mutating func wait(for what: String, _ now: Date) throws -> [Effect] {
    guard state == .running || state == .approved else { throw refusal("waiting for \(what)") }
    guard waitingFor != what else { return [] }
    waitingFor = what
    return [event(.missionChanged, currentStep ?? .unspecified, "waiting for \(what)", now)]
  }

  private func index(of step: Step) throws -> Int {
    guard state == .running, runningStep == step, let index = steps.indices.last else {
      throw refusal("at \(step.label)")
    }
    return index
  }

  private func outcome(succeeded: Bool, _ now: Date) -> [Effect] {
    guard let tool = choice?.tool, !tool.isEmpty, let intent = intent?.name else { return [] }
    return [
      .recordOutcome(
        RecordOutcomeRequest(
          missionId: id, tool: tool, intent: intent, succeeded: succeeded, time: GoogleProtobufTimestamp(now)))
    ]
  }
}
