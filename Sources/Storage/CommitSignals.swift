import Synchronization

/// Wakes whoever waits for rows of a topic, after the commit that added them: inside this process at once, in others
/// that share a PostgreSQL database through its notifications.
final class CommitSignals: Sendable {
  private struct Listeners {
    var next = 0
    var isFinished = false
    var byTopic: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
  }

  private let listeners = Mutex(Listeners())

  func notify(_ topic: String) {
    let waiting = listeners.withLock { Array($0.byTopic[topic, default: [:]].values) }
    for continuation in waiting { continuation.yield() }
  }

  /// Wakes everybody: something may have been announced that nobody could hear.
  func notifyAll() {
    let waiting = listeners.withLock { $0.byTopic.values.flatMap(\.values) }
    for continuation in waiting { continuation.yield() }
  }

  /// Wake-ups of a topic, until the stream or its continuation ends. Several that come while nobody waits are one.
  func listen(_ topic: String) -> (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id: Int? = listeners.withLock { listeners in
      guard !listeners.isFinished else { return nil }
      listeners.next += 1
      listeners.byTopic[topic, default: [:]][listeners.next] = continuation
      return listeners.next
    }
    guard let id else {
      continuation.finish()
      return (stream, continuation)
    }
    continuation.onTermination = { [weak self] _ in
      self?.listeners.withLock { _ = $0.byTopic[topic]?.removeValue(forKey: id) }
    }
    return (stream, continuation)
  }

  /// Ends every stream, also those that are asked for later: the database is closing.
  func finish() {
    let all = listeners.withLock { listeners in
      listeners.isFinished = true
      defer { listeners.byTopic = [:] }
      return listeners.byTopic.values.flatMap(\.values)
    }
    for continuation in all { continuation.finish() }
  }
}

/// Passes the announcements of other processes on to this one's signals.
protocol SignalListener: Sendable {
  func start() async throws
  /// Ends it and waits for its end.
  func close() async
  /// Lets it end without waiting.
  func abandon()
}
