import Messages
import Testing

@testable import BuddyCLI

@Suite("Progress for eyes")
struct ProgressBarTests {
  private let start = ContinuousClock.now

  private func state(
    percent: Double = 65, message: String = "reading sales.csv", eta: Duration? = .seconds(2),
    state: MissionState = .running
  ) -> ProgressState {
    var progress = ProgressState(startedAt: start)
    progress.apply(
      ProgressEvent(
        sequence: 1, type: .stepProgress, step: .execution, percent: percent, message: message, state: state))
    progress.apply(
      ProgressSnapshot(
        state: state, percent: percent, elapsed: GoogleProtobufDuration(.seconds(3)),
        eta: eta.map { GoogleProtobufDuration($0) }),
      at: start)
    return progress
  }

  @Test(
    "golden lines",
    arguments: [
      (
        120,
        "[███████████████████░░░░░░░░░░░]  65 %  execution: reading sales.csv"
          + "                                     0:03  ETA 0:02"
      ),
      (80, "[██████████░░░░░░]  65 %  execution: reading sales.csv           0:03  ETA 0:02"),
      (40, "[███░░░]  65 % execution… 0:03 ETA 0:02"),
      (34, " 65 % execution: r… 0:03 ETA 0:02"),
      (20, " 65 % executi… 0:03"),
      (12, " 65 % 0:03"),
      (1, ""),
    ])
  func golden(_ columns: Int, _ line: String) {
    let text = ProgressBar(columns: columns).line(state(), at: start)
    #expect(text == line)
    #expect(TerminalText.width(text) <= max(0, columns - 1))
  }

  @Test("no line is wider than the terminal, whatever the message", arguments: [10, 25, 36, 40, 60, 80, 100, 200])
  func fits(_ columns: Int) {
    for message in ["", "日本語のとても長いメッセージ", String(repeating: "x", count: 500), "a\nb\u{1B}[0m"] {
      for unicode in [true, false] {
        let line = ProgressBar(columns: columns, usesUnicode: unicode).line(state(message: message), at: start)
        #expect(TerminalText.width(line) <= columns - 1)
        #expect(!line.contains("\u{1B}") && !line.contains("\n"))
      }
    }
  }

  @Test("without Unicode the bar is made of plain characters")
  func plain() {
    let bar = ProgressBar(columns: 80, usesUnicode: false)
    #expect(
      bar.line(state(), at: start)
        == "[##########------]  65 %  execution: reading sales.csv           0:03  ETA 0:02")
    #expect(bar.line(state(message: String(repeating: "long ", count: 20)), at: start).allSatisfy { $0.isASCII })
  }

  @Test("colour surrounds the bar only where it is wanted")
  func color() {
    let bar = ProgressBar(columns: 80, usesColor: true).line(state(), at: start)
    #expect(bar.hasPrefix("\u{1B}[36m[███"))
    #expect(bar.contains("65 %\u{1B}[0m"))
    #expect(!ProgressBar(columns: 80).line(state(), at: start).contains("\u{1B}"))
  }

  @Test("the clock goes on between events, the time left goes down and stops at nothing")
  func clock() {
    let line = ProgressBar(columns: 80).line(state(), at: start + .seconds(10))
    #expect(line.hasSuffix("0:13  ETA 0:00"))
    let unknown = ProgressBar(columns: 80).line(state(eta: nil), at: start + .seconds(10))
    #expect(unknown.hasSuffix("0:13"))
  }

  @Test("percent never falls, and only what is finished reads 100")
  func percent() {
    var progress = state(percent: 70)
    progress.apply(ProgressEvent(sequence: 2, type: .stepProgress, step: .execution, percent: 10))
    #expect(progress.percent == 70)
    #expect(ProgressBar.percent(99.99) == " 99 %")
    #expect(ProgressBar.percent(100) == "100 %")
    #expect(ProgressBar.percent(-3) == "  0 %")
    #expect(ProgressBar.percent(.nan) == "  0 %")
  }

  @Test(
    "what goes on, in words",
    arguments: [
      (.pendingApproval, "waits for approval"), (.awaitingInput, "waits for an answer"),
      (.paused, "paused at execution"), (.succeeded, "succeeded"), (.running, "execution: reading sales.csv"),
    ] as [(MissionState, String)])
  func headline(_ missionState: MissionState, _ text: String) { #expect(state(state: missionState).headline == text) }

  @Test("what it waits for and what it asks are shown as long as that lasts")
  func waits() {
    var progress = ProgressState(startedAt: start)
    progress.apply(ProgressEvent(sequence: 1, type: .stateChanged, message: "approved by policy", state: .approved))
    #expect(progress.headline == "queued")
    progress.apply(
      ProgressEvent(sequence: 2, type: .missionChanged, message: "waiting for the tool data_analyze", state: .running))
    #expect(progress.headline == "waiting for the tool data_analyze")
    progress.apply(
      ProgressEvent(sequence: 3, type: .missionChanged, state: .running, change: MissionChange(command: .modify)))
    #expect(progress.headline == "waiting for the tool data_analyze")
    progress.apply(ProgressEvent(sequence: 4, type: .stepStarted, step: .execution, state: .running))
    #expect(progress.headline == "execution")
    progress.apply(
      ProgressEvent(
        sequence: 5, type: .stateChanged, state: .awaitingInput, question: Question(prompt: "Did it\narrive?")))
    #expect(progress.headline == "asks: Did it arrive?")
    progress.apply(ProgressEvent(sequence: 6, type: .stateChanged, state: .running))
    #expect(progress.headline == "execution")
  }

  @Test("a plain line for each event")
  func lines() {
    let events = [
      ProgressEvent(sequence: 1, type: .stateChanged, message: "approved by policy", state: .approved),
      ProgressEvent(sequence: 2, type: .stepStarted, step: .intent, percent: 5, state: .running),
      ProgressEvent(
        sequence: 3, type: .stepProgress, step: .execution, percent: 62.5, message: "row 5\nof \u{1B}[1m8",
        state: .running),
      ProgressEvent(
        sequence: 4, type: .stepFailed, step: .execution, percent: 80, message: "",
        state: .running, error: Failure(code: "UNKNOWN_COLUMN", message: "no column pricee")),
      ProgressEvent(sequence: 5, type: .stateChanged, step: .execution, percent: 80, state: .paused, actor: "ann"),
      ProgressEvent(
        sequence: 6, type: .missionChanged, step: .execution, percent: 80, message: "priority", state: .paused,
        actor: "ann", change: MissionChange(command: .modify)),
      ProgressEvent(sequence: 7, type: .missionChanged, percent: 80, message: "waiting for a place", state: .running),
    ]
    #expect(
      events.map(ProgressLine.text) == [
        "  0 %  mission       approved          approved by policy",
        "  5 %  intent        started",
        #" 62 %  execution     at work           row 5 of \x1b[1m8"#,
        " 80 %  execution     failed            UNKNOWN_COLUMN: no column pricee",
        " 80 %  mission       paused            by ann",
        " 80 %  mission       changed           priority - by ann",
        " 80 %  mission       waits             waiting for a place",
      ])
  }
}
