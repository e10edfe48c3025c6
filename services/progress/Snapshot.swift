import Foundation
import Messages

/// Where a mission stands, folded from its events one after the other. Pure.
struct MissionFold: Sendable, Hashable {
  /// All but what depends on the present: the time that has passed and the time that is left.
  private(set) var snapshot: ProgressSnapshot
  /// Since when the mission is held, once it has begun.
  private(set) var heldSince: Date?
  /// When the running step last said how far it is, if that was folded since the stored snapshot.
  private(set) var reportedAt: Date?

  init(_ missionID: String) { snapshot = ProgressSnapshot(missionId: missionID) }

  init(_ snapshot: ProgressSnapshot, heldSince: Date?) {
    self.snapshot = snapshot
    self.heldSince = heldSince
  }

  /// The last event that was taken in; 0 before any.
  var sequence: UInt64 { snapshot.lastSequence }

  /// Takes in the event after `sequence`.
  mutating func take(_ event: ProgressEvent) {
    let time = event.time?.date ?? Date()
    snapshot.lastSequence = event.sequence
    snapshot.percent = max(snapshot.percent, event.percent)
    if !event.message.isEmpty { snapshot.message = event.message }
    if let facts = event.facts { snapshot.facts = facts }
    if let change = event.change { markStale(change, at: event.time) }
    if event.state != .unspecified, event.state != snapshot.state { enter(event.state, at: time, event.time) }
    if let question = event.question { snapshot.question = question }
    if snapshot.state != .awaitingInput { snapshot.question = nil }
    if event.step != .unspecified { take(step: event) }
  }

  // MARK: - States

  private mutating func enter(_ state: MissionState, at date: Date, _ time: GoogleProtobufTimestamp?) {
    snapshot.state = state
    if state == .running, snapshot.startedAt == nil { snapshot.startedAt = time ?? GoogleProtobufTimestamp(date) }
    if let since = heldSince, !state.isHeld {
      let held = (snapshot.held?.duration ?? .zero) + .seconds(max(0, date.timeIntervalSince(since)))
      snapshot.held = GoogleProtobufDuration(held)
      heldSince = nil
    } else if heldSince == nil, state.isHeld, snapshot.startedAt != nil {
      heldSince = date
    }
    if state.isTerminal { snapshot.finishedAt = time ?? GoogleProtobufTimestamp(date) }
    if let outcome = state.outcomeOfRunningStep {
      for index in snapshot.steps.indices where snapshot.steps[index].outcome == .running {
        end(index, outcome, time)
      }
    }
  }

  // MARK: - Steps

  private mutating func markStale(_ change: MissionChange, at time: GoogleProtobufTimestamp?) {
    for step in change.staleSteps {
      guard let index = snapshot.steps.lastIndex(where: { $0.step == step }) else { continue }
      switch snapshot.steps[index].outcome {
      case .completed: snapshot.steps[index].outcome = .stale
      case .running where change.applied: end(index, .interrupted, time)
      default: break
      }
    }
  }

  private mutating func take(step event: ProgressEvent) {
    switch event.type {
    case .stepStarted:
      let index = index(of: event.step) { $0 == .running || $0 == .unspecified }
      snapshot.steps[index].outcome = .running
      snapshot.steps[index].startedAt = event.time
      reportedAt = nil
      snapshot.steps[index].message = event.message
    case .stepProgress:
      snapshot.steps[index(of: event.step)].message = event.message
      reportedAt = event.time?.date
    case .stepCompleted: end(event, .completed)
    case .stepFailed: end(event, .failed)
    default: break
    }
  }

  private mutating func end(_ event: ProgressEvent, _ outcome: StepOutcome) {
    let index = index(of: event.step)
    snapshot.steps[index].message = event.message
    end(index, outcome, event.time)
  }

  private mutating func end(_ index: Int, _ outcome: StepOutcome, _ time: GoogleProtobufTimestamp?) {
    snapshot.steps[index].outcome = outcome
    snapshot.steps[index].endedAt = time
  }

  /// The step's last record, or a new one if there is none whose outcome is as it has to be.
  private mutating func index(of step: Step, where isRight: (StepOutcome) -> Bool = { _ in true }) -> Int {
    if let index = snapshot.steps.lastIndex(where: { $0.step == step }), isRight(snapshot.steps[index].outcome) {
      return index
    }
    snapshot.steps.append(StepRecord(step: step))
    return snapshot.steps.endIndex - 1
  }
}

extension MissionState {
  /// Time in which it is in this state does not count, once it has begun.
  fileprivate var isHeld: Bool {
    switch self {
    case .paused, .awaitingInput, .pendingApproval: true
    default: false
    }
  }

  /// What becomes of a step that runs when the mission enters this state; nil if it goes on.
  fileprivate var outcomeOfRunningStep: StepOutcome? {
    switch self {
    case .paused, .awaitingInput, .pendingApproval: .interrupted
    case .cancelled, .rejected: .cancelled
    case .failed: .failed
    default: nil
    }
  }
}

// MARK: - The present

extension MissionFold {
  /// All but the time that is left, which takes more than this mission's events.
  /// - Parameter now: the time to measure a mission's elapsed time to that has not ended.
  func snapshot(at now: Date) -> ProgressSnapshot {
    var result = snapshot
    guard let started = snapshot.startedAt?.date else { return result }
    var held = snapshot.held?.duration ?? .zero
    if let heldSince { held += .seconds(max(0, now.timeIntervalSince(heldSince))) }
    result.held = GoogleProtobufDuration(held)
    let end = snapshot.finishedAt?.date ?? now
    result.elapsed = GoogleProtobufDuration(max(.zero, .seconds(end.timeIntervalSince(started)) - held))
    return result
  }
}
