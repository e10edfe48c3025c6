import Synchronization

/// Where several tasks wait until all of them have arrived.
final class Barrier: Sendable {
  private struct State {
    var missing: Int
    var waiting: [AsyncStream<Void>.Continuation] = []
  }

  private let state: Mutex<State>

  init(_ count: Int) { state = Mutex(State(missing: count)) }

  /// Returns once all have called it; throws `CancellationError` where this task is cancelled before.
  func arrive() async throws {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    let complete = state.withLock { state -> [AsyncStream<Void>.Continuation] in
      state.missing -= 1
      state.waiting.append(continuation)
      return state.missing == 0 ? state.waiting : []
    }
    for waiting in complete { waiting.yield() }
    for await _ in stream { return }
    throw CancellationError()
  }
}
