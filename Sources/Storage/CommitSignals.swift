import Synchronization

/// Wakes whoever waits for rows of a topic, inside this process and after the commit that added them.
final class CommitSignals: Sendable {
  private struct Listeners {
    var next = 0
    var byTopic: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
  }

  private let listeners = Mutex(Listeners())

  func notify(_ topic: String) {
    let waiting = listeners.withLock { Array($0.byTopic[topic, default: [:]].values) }
    for continuation in waiting { continuation.yield() }
  }

  /// Wake-ups of a topic, until the stream or its continuation ends. Several that come while nobody waits are one.
  func listen(_ topic: String) -> (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = listeners.withLock { listeners in
      listeners.next += 1
      listeners.byTopic[topic, default: [:]][listeners.next] = continuation
      return listeners.next
    }
    continuation.onTermination = { [weak self] _ in
      self?.listeners.withLock { _ = $0.byTopic[topic]?.removeValue(forKey: id) }
    }
    return (stream, continuation)
  }

  /// Ends every stream: the database is closing.
  func finish() {
    let all = listeners.withLock { listeners in
      defer { listeners.byTopic = [:] }
      return listeners.byTopic.values.flatMap(\.values)
    }
    for continuation in all { continuation.finish() }
  }
}
