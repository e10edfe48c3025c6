import Synchronization

/// Somebody waited for as long as they were allowed to.
struct TimeLimitPassed: Error, CustomStringConvertible {
  let limit: Duration

  var description: String { "no answer within \(limit.settingText)" }
}

/// Work that is never done twice at a time: who asks while it runs waits for that same run, and nobody waits longer
/// than a limit. So what hangs, and cannot be cancelled (a query of a database), hangs once, however often it is asked.
final class SharedWork<Value: Sendable>: Sendable {
  private let body: @Sendable () async throws -> Value
  private let running = Mutex<Task<Value, any Error>?>(nil)

  init(_ body: @escaping @Sendable () async throws -> Value) {
    self.body = body
  }

  /// Throws what the work throws, `TimeLimitPassed`, or `CancellationError`; the work goes on without this caller then.
  func value(within limit: Duration) async throws -> Value {
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
    running.withLock { running in
      if let running { return running }
      let task = Task {
        defer { self.running.withLock { $0 = nil } }
        return try await body()
      }
      running = task
      return task
    }
  }
}
