import Messages

/// Shows a mission's progress on standard error: one line that is redrawn where that is a terminal, else one line an
/// event. Everything is drawn from here, so that lines never mix.
actor ProgressDisplay {
  private let console: Console
  private var state: ProgressState
  /// What is on the line now; nil if nothing is.
  private var drawn: String?
  private var isSilent = false
  /// While somebody is asked something: the line is theirs.
  private var isHeld = false

  init(_ console: Console, now: ContinuousClock.Instant = .now) {
    self.console = console
    state = ProgressState(startedAt: now)
  }

  /// False where only lines are printed: nobody would see a clock there.
  nonisolated var redraws: Bool { console.isErrorTerminal }

  func show(_ event: ProgressEvent) {
    state.apply(event)
    if console.isErrorTerminal {
      redraw()
    } else if !isSilent {
      console.note(ProgressLine.text(event))
    }
  }

  func show(_ snapshot: ProgressSnapshot) {
    state.apply(snapshot, at: .now)
    redraw()
  }

  /// Says something beside the progress, on a line of its own.
  func notice(_ text: String) {
    erase()
    console.note(TerminalText.line(text))
    redraw()
  }

  /// Shows how something before the mission goes, for example an upload; replaced by whatever comes next.
  func transient(_ text: String) {
    guard console.isErrorTerminal, !isSilent, !isHeld else { return }
    let line = TerminalText.truncated(TerminalText.line(text), to: max(0, console.columns() - 1))
    draw(line)
  }

  /// Leaves the place to a question until `release`.
  func hold() {
    erase()
    isHeld = true
  }

  func release() {
    isHeld = false
    redraw()
  }

  /// Draws the clock's advance. Nothing happens where lines cannot be redrawn.
  func tick() { if drawn != nil { redraw() } }

  /// Leaves the last line where it is and draws no more.
  func finish() {
    if drawn != nil { console.draw([0x0A]) }
    (drawn, isSilent) = (nil, true)
  }

  /// Takes the line away and draws no more.
  func abandon() {
    erase()
    isSilent = true
  }

  private func redraw() {
    guard console.isErrorTerminal, !isSilent, !isHeld else { return }
    let bar = ProgressBar(
      columns: console.columns(), usesUnicode: console.usesUnicode, usesColor: console.usesColor)
    draw(bar.line(state, at: .now))
  }

  private func draw(_ line: String) {
    guard line != drawn else { return }
    console.draw(Array("\r\u{1B}[K\(line)".utf8))
    drawn = line
  }

  private func erase() {
    guard drawn != nil else { return }
    console.draw(Array("\r\u{1B}[K".utf8))
    drawn = nil
  }
}
