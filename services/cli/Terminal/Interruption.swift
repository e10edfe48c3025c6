import Synchronization
import UnixSignals

/// Ctrl-C and SIGTERM, as something to wait for, by several at once or one after the other.
final class Interruption: Sendable {
  private let waiting = Mutex<[AsyncStream<Void>.Continuation]>([])

  private init() {}

  /// From here on the two signals no longer end this process; they are told to whoever asks for `stream`.
  static func trap() async -> Interruption {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let interruption = Interruption()
    Task {
      for await _ in signals {
        for continuation in interruption.waiting.withLock({ $0 }) { continuation.yield() }
      }
    }
    return interruption
  }

  /// An element for every signal from now on.
  func stream() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    waiting.withLock { $0.append(continuation) }
    return stream
  }

  /// Runs `body`; on the first signal cancels it, waits until it has cleaned up, and returns what `interrupted` says.
  static func guarding<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result, interrupted: @escaping @Sendable () -> Result
  ) async throws -> Result {
    let signals = await trap().stream()
    return try await withThrowingTaskGroup(of: Result?.self) { group in
      group.addTask { try await body() }
      group.addTask {
        for await _ in signals { return nil }
        throw CancellationError()
      }
      defer { group.cancelAll() }
      if let first = try await group.next(), let result = first { return result }
      group.cancelAll()
      while let rest = await group.nextResult() { _ = rest }
      return interrupted()
    }
  }
}
