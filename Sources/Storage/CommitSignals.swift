import Synchronization

/// Wakes whoever waits for rows of a topic, after the commit that added them: inside this process at once, in others
/// that share a PostgreSQL database through its notifications.
final class CommitSignals: Sendable {
  private struct Listeners {
    var next = 0
    var isFinished = false
    var byTopic: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
    /// To be woken directly, without a task in between.
    var wakeUps: [String: [ObjectIdentifier: WakeUp]] = [:]
  }

  private let listeners = Mutex(Listeners())

  func notify(_ topic: String) {
    let (waiting, wakeUps) = listeners.withLock { listeners in
      (listeners.byTopic[topic].map { Array($0.values) } ?? [], listeners.wakeUps[topic].map { Array($0.values) } ?? [])
    }
    for continuation in waiting { continuation.yield() }
    for wakeUp in wakeUps { wakeUp.raise() }
  }

  /// Wakes everybody: something may have been announced that nobody could hear.
  func notifyAll() {
    let (waiting, wakeUps) = listeners.withLock { listeners in
      (listeners.byTopic.values.flatMap(\.values), listeners.wakeUps.values.flatMap(\.values))
    }
    for continuation in waiting { continuation.yield() }
    for wakeUp in wakeUps { wakeUp.raise() }
  }

  /// Raises a wake-up for rows of these topics while `body` runs, and finishes it when the database closes.
  func waking<Result>(
    _ wakeUp: WakeUp, for topics: [String], _ body: () async throws -> Result
  ) async rethrows -> Result {
    let isFinished = listeners.withLock { listeners in
      for topic in topics { listeners.wakeUps[topic, default: [:]][ObjectIdentifier(wakeUp)] = wakeUp }
      return listeners.isFinished
    }
    if isFinished { wakeUp.finish() }
    defer {
      listeners.withLock { listeners in
        for topic in topics { listeners.wakeUps[topic]?[ObjectIdentifier(wakeUp)] = nil }
      }
    }
    return try await body()
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
    let (all, wakeUps) = listeners.withLock { listeners in
      listeners.isFinished = true
      defer { (listeners.byTopic, listeners.wakeUps) = ([:], [:]) }
      return (listeners.byTopic.values.flatMap(\.values), listeners.wakeUps.values.flatMap(\.values))
    }
    for continuation in all { continuation.finish() }
    for wakeUp in wakeUps { wakeUp.finish() }
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
