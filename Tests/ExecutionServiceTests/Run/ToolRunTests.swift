import Messages
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// What happens to a tool that is stopped. No test measures time: each goes by what happens before what.
@Suite(.timeLimit(.minutes(1))) struct ToolRunTests {
  private static let output = ToolOutput(text: "late", artifacts: [], bytesRead: 0)

  /// Holds a tool until it is opened.
  private final class Gate: Sendable {
    let started = AsyncStream.makeStream(of: Void.self)
    let opened = AsyncStream.makeStream(of: Void.self)
    private let ended = Atomic(false)
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Waits in a task of its own, which the cancellation of the caller's does not reach.
    func wait() async {
      started.continuation.finish()
      await Task { for await _ in opened.stream {} }.value
      ended.store(true, ordering: .releasing)
    }

    func untilStarted() async { for await _ in started.stream {} }
    func open() { opened.continuation.finish() }
  }

  private func deaf(_ gate: Gate, hasSideEffects: Bool, timeLimit: Duration = .seconds(600)) -> ScriptedTool {
    ScriptedTool(timeLimit: timeLimit, hasSideEffects: hasSideEffects, isIdempotent: true) { _, progress in
      await gate.wait()
      await progress(1, "too late")
      return Self.output
    }
  }

  private func run(_ tool: ScriptedTool) -> Task<ToolOutput, any Error> {
    Task { try await ToolRun(tool: tool, call: .of("anything")) { _, _ in }.output() }
  }

  @Test func aToolWithoutSideEffectsIsLeftToItself() async throws {
    let gate = Gate()
    let run = run(deaf(gate, hasSideEffects: false))
    await gate.untilStarted()
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    #expect(!gate.hasEnded, "nobody has waited for it")
    gate.open()
    try await eventually("it ends by itself") { gate.hasEnded }
  }

  @Test func aToolWithSideEffectsIsWaitedFor() async throws {
    let gate = Gate()
    let run = run(deaf(gate, hasSideEffects: true))
    await gate.untilStarted()
    run.cancel()
    let hadEnded = Task {
      _ = await run.result
      return gate.hasEnded
    }
    // Longer than one that can be abandoned is waited for.
    try await Task.sleep(for: ToolRun.grace * 2)
    gate.open()
    #expect(await hadEnded.value, "it has ended before anybody is told")
  }

  @Test(arguments: [true, false]) func theTimeLimitEndsIt(_ hasSideEffects: Bool) async throws {
    let tool = ScriptedTool(timeLimit: .milliseconds(20), hasSideEffects: hasSideEffects) { _, _ in
      try await Task.sleep(for: .seconds(600))
      return Self.output
    }
    let error = await #expect(throws: StepFailure.self) { try await run(tool).value }
    #expect(error?.error.code == "TOOL_TIMED_OUT" && error?.isOfTool == true)
  }

  @Test func aCancelledRunBeginsNothing() async throws {
    let begun = Mutex(false)
    let tool = ScriptedTool(hasSideEffects: true) { _, _ in
      begun.withLock { $0 = true }
      return Self.output
    }
    let run = Task {
      while !Task.isCancelled { await Task.yield() }
      return try await ToolRun(tool: tool, call: .of("anything")) { _, _ in }.output()
    }
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    #expect(!begun.withLock { $0 })
  }

  /// Each built-in tool at its largest work, stopped at random moments of it.
  @Test func builtInToolsEndAtOnce() async throws {
    var random = SeededRandom()
    let csv = "a,b,c\n" + (0..<200_000).map { "\($0 % 977),x\($0 % 31),\(Double($0) / 7)" }.joined(separator: "\n")
    let page = "<html><body>" + String(repeating: "<div><p>text <a href='/x'>y</a></p></div>", count: 60_000)
    let calls: [(any ExecutionService.Tool, ToolCall)] = [
      (DataAnalyzeTool(), .of("mean c by b where a > 3", csv: csv)),
      (CalculateTool(), .of("", ["expression": (5900..<6000).map { "(2/3)^\($0)" }.joined(separator: "+")])),
      (
        WebExtractTool(options: .init()),
        ToolCall(
          missionID: "m", objective: "links of page.html", parameters: [:],
          inputs: [ToolInput(name: "page.html", mediaType: "text/html", bytes: Array(page.utf8))], idempotencyKey: "k")
      ),
    ]
    for (tool, call) in calls {
      var waits: [Duration] = []
      for _ in 0..<12 {
        let run = Task { try await ToolRun(tool: tool, call: call) { _, _ in }.output() }
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...400, using: &random)))
        let told = ContinuousClock.now
        run.cancel()
        _ = await run.result
        waits.append(ContinuousClock.now - told)
      }
      print("\(tool.declaration.name): from cancel to return: \(Percentiles(waits))")
      #expect(Percentiles(waits).maximum < .seconds(5), "a generous bound, for a machine that does other things too")
    }
  }

  @Test func aFetchThatIsCancelledClosesItsConnection() async throws {
    try await PageServer.run(["/": PageServer.Answer(silent: true)]) { server in
      let tool = WebExtractTool(options: ToolboxOptions(allowPrivateAddresses: true))
      let run = Task { try await tool.run(.of("Get the title of \(server.url("/"))")) { _, _ in } }
      try await eventually("the page is asked for") { server.requests("/") == 1 }
      run.cancel()
      await #expect(throws: CancellationError.self) { try await run.value }
      try await eventually("the server sees the connection end") { server.closed == 1 }
    }
  }
}

/// Of some measured durations.
struct Percentiles: CustomStringConvertible {
  let p50: Duration
  let p99: Duration
  let maximum: Duration

  init(_ all: [Duration]) {
    let sorted = all.sorted()
    func at(_ share: Double) -> Duration {
      sorted.isEmpty ? .zero : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
    (p50, p99, maximum) = (at(0.5), at(0.99), sorted.last ?? .zero)
  }

  var description: String {
    func milliseconds(_ duration: Duration) -> String { "\((duration / .microseconds(10)).rounded() / 100) ms" }
    return "p50 \(milliseconds(p50)), p99 \(milliseconds(p99)), max \(milliseconds(maximum))"
  }
}
