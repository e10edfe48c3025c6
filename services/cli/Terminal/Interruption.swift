import UnixSignals

/// Ctrl-C and SIGTERM, as something to wait for.
enum Interruption {
  /// Runs `body`; on the first signal cancels it, waits until it has cleaned up, and returns what `interrupted` says.
  static func guarding<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result, interrupted: @escaping @Sendable () -> Result
  ) async throws -> Result {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        for await _ in signals { return nil }
        throw CancellationError()
      }
      defer { group.cancelAll() }
      guard let first = try await group.next(), let result = first else {
        group.cancelAll()
        while let rest = await group.nextResult() { _ = rest }
        return interrupted()
      }
      return result
    }
  }
}
