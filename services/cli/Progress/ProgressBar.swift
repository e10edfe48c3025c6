import Messages

/// Draws a mission's progress as one line. Pure: the same state, moment and style give the same text.
struct ProgressBar: Sendable {
  /// Columns of the terminal. One stays free, because a full line would wrap in some terminals.
  var columns = 80
  var usesUnicode = true
  var usesColor = false

  /// `[██████░░░░]  65 %  execution: reading sales.csv      0:03  ETA 0:02`. What does not fit is left out, the least
  /// important first: the end of the message, the bar, the ETA, the message.
  func line(_ state: ProgressState, at now: ContinuousClock.Instant) -> String {
    let room = max(0, columns - 1)
    let percent = Self.percent(state.percent)
    let bar = barWidth.map { "[\(fill(state.percent, width: $0))] " } ?? ""
    let elapsed = DurationText.clock(state.elapsed(at: now))
    let eta = room >= 30 ? state.eta(at: now).map { "ETA \(DurationText.clock($0))" } : nil
    let tail = [elapsed, eta].compactMap { $0 }.joined(separator: gap)
    let head = bar + percent
    let middleRoom = room - TerminalText.width(head) - TerminalText.width(tail) - 2 * gap.count
    guard middleRoom >= 4 else {
      return TerminalText.truncated("\(percent)\(gap)\(tail)", to: room, ellipsis: "")
    }
    let middle = TerminalText.truncated(state.headline, to: middleRoom, ellipsis: usesUnicode ? "…" : "...")
    return colored(head, state) + gap + TerminalText.padded(middle, to: middleRoom) + gap + tail
  }

  /// ` 65 %`, always five columns. Only what is finished reads 100.
  static func percent(_ value: Double) -> String {
    let whole = value >= 100 ? 100 : Int(max(0, value))
    let digits = String(whole)
    return String(repeating: " ", count: 3 - digits.count) + digits + " %"
  }

  private var gap: String { columns >= 60 ? "  " : " " }

  private var barWidth: Int? {
    switch columns {
    case 100...: 30
    case 60...: 16
    case 36...: 6
    default: nil
    }
  }

  private func fill(_ percent: Double, width: Int) -> String {
    let full = min(width, Int((Double(width) * max(0, percent) / 100).rounded(.down)))
    return String(repeating: usesUnicode ? "█" : "#", count: full)
      + String(repeating: usesUnicode ? "░" : "-", count: width - full)
  }

  private func colored(_ text: String, _ state: ProgressState) -> String {
    guard usesColor else { return text }
    let code =
      switch state.state {
      case .succeeded: "32"
      case .failed, .rejected: "31"
      case .cancelled, .paused, .pendingApproval, .awaitingInput: "33"
      default: "36"
      }
    return "\u{1B}[\(code)m\(text)\u{1B}[0m"
  }
}

/// One event as one plain line, for logs and pipes.
enum ProgressLine {
  /// ` 55 %  execution     started           reading sales.csv`
  static func text(_ event: ProgressEvent) -> String {
    let isOfMission = event.type == .stateChanged || event.type == .missionChanged || event.step == .unspecified
    let subject = isOfMission ? "mission" : event.step.label
    let by = event.actor.isEmpty || event.message.contains("by \(event.actor)") ? "" : "by \(event.actor)"
    let detail = [event.message, event.error.map { "\($0.code): \($0.message)" } ?? "", by]
      .filter { !$0.isEmpty }.map(TerminalText.line).joined(separator: " - ")
    let line = ProgressBar.percent(event.percent) + "  " + TerminalText.padded(subject, to: 12) + "  "
      + TerminalText.padded(verb(event), to: 16) + "  " + detail
    return String(line.reversed().drop { $0 == " " }.reversed())
  }

  private static func verb(_ event: ProgressEvent) -> String {
    switch event.type {
    case .stateChanged: event.state.words
    case .stepStarted: "started"
    case .stepProgress: "at work"
    case .stepCompleted: "completed"
    case .stepFailed: "failed"
    case .missionChanged: event.change == nil ? "waits" : "changed"
    case .gap: "events left out"
    default: "-"
    }
  }
}
