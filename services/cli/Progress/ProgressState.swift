import Messages

/// What a watcher knows of a mission at a moment: pure, fed with events and snapshots.
struct ProgressState: Sendable, Hashable {
  private(set) var state = MissionState.unspecified
  private(set) var step = Step.unspecified
  private(set) var message = ""
  /// 0 to 100; never falls.
  private(set) var percent = 0.0
  /// Of the mission so far, at `clockBase`.
  private var elapsedBase = Duration.zero
  private var etaBase: Duration?
  private var clockBase: ContinuousClock.Instant

  init(startedAt now: ContinuousClock.Instant) { clockBase = now }

  mutating func apply(_ event: ProgressEvent) {
    percent = max(percent, min(100, event.percent))
    if event.state != .unspecified { state = event.state }
    if event.step != .unspecified { step = event.step }
    if !event.message.isEmpty || event.type == .stepStarted { message = event.message }
  }

  mutating func apply(_ snapshot: ProgressSnapshot, at now: ContinuousClock.Instant) {
    percent = max(percent, min(100, snapshot.percent))
    if snapshot.state != .unspecified { state = snapshot.state }
    if message.isEmpty { message = snapshot.message }
    if let running = snapshot.steps.last(where: { $0.outcome == .running }) { step = running.step }
    elapsedBase = max(snapshot.elapsed?.duration ?? .zero, .zero)
    etaBase = snapshot.eta?.duration
    clockBase = now
  }

  /// Stands still while the mission waits for somebody, as that time does not count.
  func elapsed(at now: ContinuousClock.Instant) -> Duration {
    switch state {
    case .pendingApproval, .awaitingInput, .paused: elapsedBase
    default: elapsedBase + (now - clockBase)
    }
  }

  /// Time left; nil while there is nothing to go by, once the mission has ended, and while it does not run.
  func eta(at now: ContinuousClock.Instant) -> Duration? {
    guard state == .running || state == .approved, let etaBase else { return nil }
    return max(.zero, etaBase - (now - clockBase))
  }

  /// What goes on, in a few words, safe for a terminal.
  var headline: String {
    switch state {
    case .pendingApproval: return "waits for approval"
    case .awaitingInput: return "waits for an answer"
    case .paused: return "paused"
    case .unspecified: return "submitted"
    case .succeeded, .failed, .cancelled, .rejected: return state.words
    default: break
    }
    let text = TerminalText.line(message)
    if step == .unspecified { return text.isEmpty ? state.words : text }
    return text.isEmpty ? step.label : "\(step.label): \(text)"
  }
}
