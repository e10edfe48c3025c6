import Messages

/// What a watcher knows of a mission at a moment: pure, fed with events and snapshots.
struct ProgressState: Sendable, Hashable {
  private(set) var state = MissionState.unspecified
  private(set) var step = Step.unspecified
  private(set) var message = ""
  /// Why it does not run although nothing holds it; empty if it does.
  private(set) var waiting = ""
  /// What it asks in AWAITING_INPUT.
  private(set) var question = ""
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
    // A change without a command: the mission waits for a place or a tool.
    let isWaiting = event.type == .missionChanged && event.change == nil
    if isWaiting { waiting = event.message } else if event.type != .missionChanged { waiting = "" }
    question = state == .awaitingInput ? event.question?.prompt ?? question : ""
  }

  mutating func apply(_ snapshot: ProgressSnapshot, at now: ContinuousClock.Instant) {
    percent = max(percent, min(100, snapshot.percent))
    if snapshot.state != .unspecified { state = snapshot.state }
    if message.isEmpty { message = snapshot.message }
    if let running = snapshot.steps.last(where: { $0.outcome == .running }) { step = running.step }
    elapsedBase = max(snapshot.elapsed?.duration ?? .zero, .zero)
    etaBase = snapshot.eta?.duration
    if state == .awaitingInput, let prompt = snapshot.question?.prompt { question = prompt }
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
    case .awaitingInput:
      return question.isEmpty ? "waits for an answer" : "asks: \(TerminalText.line(question))"
    case .paused: return step == .unspecified ? "paused" : "paused at \(step.label)"
    case .unspecified: return "submitted"
    case .succeeded, .failed, .cancelled, .rejected: return state.words
    default: break
    }
    if !waiting.isEmpty { return TerminalText.line(waiting) }
    if state == .approved, step == .unspecified { return "queued" }
    let text = TerminalText.line(message)
    if step == .unspecified { return text.isEmpty ? state.words : text }
    return text.isEmpty ? step.label : "\(step.label): \(text)"
  }
}
