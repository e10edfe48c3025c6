import Messages
import Metrics
import ServiceKit
import Synchronization

/// One call of a tool, bounded in time and stopped at once when its task is cancelled.
///
/// A tool with side effects is waited for until nothing of it runs any more: no effect may begin after a cancel's
/// answer. One without, which does not end when it is told to (a parser of C code, a long computation), is left to
/// itself: nothing outside can tell, and what it comes to is dropped.
struct ToolRun: Sendable {
  /// How long a tool that can be abandoned may take to end when it is told to.
  static let grace = Duration.milliseconds(50)
  private static let abandoned = Counter(label: BuddySeries.toolsAbandoned.name)

  let tool: any Tool
  let call: ToolCall
  let progress: ToolProgress

  /// Throws what the tool throws, `StepFailure` TOOL_TIMED_OUT, `CancellationError`.
  func output() async throws -> ToolOutput {
    try Task.checkCancellation()
    let (first, isLate) = (FirstOutcome<ToolOutput>(), Flag())
    let work = Task {
      do {
        first.give(.success(try await tool.run(call, progress: progress)))
      } catch {
        first.give(.failure(error))
      }
    }
    let timer = Task {
      guard (try? await Task.sleep(for: tool.declaration.timeLimit)) != nil else { return }
      isLate.raise()
      stop(work, first)
    }
    defer { timer.cancel() }
    do {
      return try await withTaskCancellationHandler {
        try await first.value()
      } onCancel: {
        stop(work, first)
      }
    } catch {
      guard isLate.isRaised, !Task.isCancelled else { throw error }
      let declaration = tool.declaration
      throw StepFailure(
        "TOOL_TIMED_OUT", "\(declaration.name) did not end within \(declaration.timeLimit)", isOfTool: true)
    }
  }

  private func stop(_ work: Task<Void, Never>, _ first: FirstOutcome<ToolOutput>) {
    work.cancel()
    guard tool.declaration.canBeAbandoned else { return }
    Task {
      try? await Task.sleep(for: Self.grace)
      if first.give(.failure(CancellationError())) { Self.abandoned.increment() }
    }
  }
}

/// The first of several outcomes, awaited by one task.
private final class FirstOutcome<Value: Sendable>: Sendable {
  private enum State {
    case open
    case awaited(CheckedContinuation<Value, any Error>)
    case given(Result<Value, any Error>)
  }

  private let state = Mutex(State.open)

  /// False for a later one, which is dropped.
  @discardableResult
  func give(_ result: Result<Value, any Error>) -> Bool {
    let waiting: CheckedContinuation<Value, any Error>?
    let isFirst: Bool
    (waiting, isFirst) = state.withLock { state in
      defer { if case .given = state {} else { state = .given(result) } }
      switch state {
      case .open: return (nil, true)
      case .awaited(let continuation): return (continuation, true)
      case .given: return (nil, false)
      }
    }
    waiting?.resume(with: result)
    return isFirst
  }

  func value() async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      let given: Result<Value, any Error>? = state.withLock { state in
        if case .given(let result) = state { return result }
        state = .awaited(continuation)
        return nil
      }
      if let given { continuation.resume(with: given) }
    }
  }
}

private final class Flag: Sendable {
  private let value = Atomic(false)

  var isRaised: Bool { value.load(ordering: .acquiring) }

  func raise() { value.store(true, ordering: .releasing) }
}
