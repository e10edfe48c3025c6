import Synchronization

/// Somebody waited for as long as they were allowed to.
struct TimeLimitPassed: Error, CustomStringConvertible {
  let limit: Duration

  var description: String { "no answer within \(limit.settingText)" }
}

/// Work that is never done twice at a time: who asks while it runs waits for that same run, and nobody waits longer
/// than a limit. So what hangs, and cannot be cancelled (a query of a database), hangs once, however often it is asked.
/// What it came to may be given to those who ask soon afterwards too.
final class SharedWork<Value: Sendable>: Sendable {
  private let body: @Sendable () async throws -> Value
  private let validity: Duration
  private let state = Mutex(State())

  private struct State {
    var running: Task<Value, any Error>?
    var last: (value: Value, end: ContinuousClock.Instant)?
  }

  /// - Parameter validity: How long a value is given again, from when its work began.
  init(validity: Duration = .zero, _ body: @escaping @Sendable () async throws -> Value) {
    self.body = body
    self.validity = validity
  }

  /// Throws what the work throws, `TimeLimitPassed`, or `CancellationError`; the work goes on without this caller then.
  func value(within limit: Duration) async throws -> Value {
    if let last = state.withLock(\.last), ContinuousClock.now < last.end { return last.value }
    let task = current()
    let (outcomes, outcome) = AsyncStream.makeStream(of: Result<Value, any Error>.self)
    let waiting = Task { outcome.yield(await task.result) }
    let timer = Task {
      try await Task.sleep(for: limit)
      outcome.yield(.failure(TimeLimitPassed(limit: limit)))
    }
    defer {
      waiting.cancel()
      timer.cancel()
    }
    for await result in outcomes { return try result.get() }
    throw CancellationError()
  }

  private func current() -> Task<Value, any Error> {
    state.withLock { state in
      if let running = state.running { return running }
      let end = ContinuousClock.now + validity
      let task = Task {
        defer { self.state.withLock { $0.running = nil } }
        let value = try await body()
        if validity > .zero { self.state.withLock { $0.last = (value, end) } }
        return value
      }
      state.running = task
      return task
    }
  }
}
