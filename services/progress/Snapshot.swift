import Foundation
import Messages

extension ProgressSnapshot {
  /// Where a mission stands, folded from its events.
  ///
  /// - Parameter now: the time to measure a running mission's elapsed time to.
  init(missionID: String, events: [ProgressEvent], now: Date) {
    self.init(missionId: missionID)
    var started: Date?
    var ended: Date?
    for event in events {
      let time = event.time?.date ?? now
      lastSequence = event.sequence
      state = event.state
      percent = max(percent, event.percent)
      if !event.message.isEmpty { message = event.message }
      if event.type == .stateChanged {
        if event.state == .running, started == nil { started = time }
        if event.state.isTerminal { ended = time }
      } else {
        take(event)
      }
    }
    guard let started else { return }
    let seconds = max(0, (ended ?? now).timeIntervalSince(started))
    elapsed = GoogleProtobufDuration(.seconds(seconds))
    if ended == nil, let left = Self.plainETA(elapsed: seconds, percent: percent) {
      eta = GoogleProtobufDuration(.seconds(left))
    }
  }

  /// The plain rule: what is left takes as long, in proportion, as what is done. Nil while nothing is done.
  ///
  /// - Parameters:
  ///   - elapsed: seconds.
  ///   - percent: 0 to 100.
  static func plainETA(elapsed: Double, percent: Double) -> Double? {
    guard percent > 0, elapsed > 0 else { return nil }
    return elapsed / percent * (100 - min(percent, 100))
  }

  private mutating func take(_ event: ProgressEvent) {
    let index = steps.lastIndex { $0.step == event.step } ?? steps.endIndex
    if index == steps.endIndex { steps.append(StepRecord(step: event.step)) }
    steps[index].message = event.message
    switch event.type {
    case .stepStarted:
      steps[index].outcome = .running
      steps[index].startedAt = event.time
    case .stepCompleted:
      steps[index].outcome = .completed
      steps[index].endedAt = event.time
    case .stepFailed:
      steps[index].outcome = .failed
      steps[index].endedAt = event.time
    default: break
    }
  }
}
