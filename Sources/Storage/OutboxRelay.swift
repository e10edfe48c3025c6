public import Logging

/// Delivers one topic of a database's outbox: in order, again and again until it succeeds, at least once.
///
/// A message is deleted after `deliver` has returned. A crash in between delivers it twice, so receivers recognise
/// repetitions by the key or the payload. One relay per topic and process.
public struct OutboxRelay: Sendable {
  private let database: Database
  private let topic: String
  private let batch: Int
  private let pollInterval: Duration
  private let backoff: Backoff
  private let logger: Logger?
  private let deliver: @Sendable ([OutboxRow]) async throws -> Void

  /// - Parameters:
  ///   - batch: How many messages one call of `deliver` gets at the most.
  ///   - pollInterval: How often to look without having been woken: a safety net, commits wake the relay at once.
  ///   - deliver: Sends the messages, oldest first; throws where not all of them arrived.
  public init(
    _ database: Database, topic: String, batch: Int = 256, pollInterval: Duration = .seconds(1),
    backoff: Backoff = Backoff(), logger: Logger? = nil,
    deliver: @escaping @Sendable ([OutboxRow]) async throws -> Void
  ) {
    self.database = database
    self.topic = topic
    self.batch = max(1, batch)
    self.pollInterval = pollInterval
    self.backoff = backoff
    self.logger = logger
    self.deliver = deliver
  }

  /// Delivers until the task is cancelled or the database closed.
  public func run() async {
    let (wakeUps, continuation) = database.signals.listen(topic)
    continuation.yield()  // for what an earlier run left behind
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        while (try? await Task.sleep(for: pollInterval)) != nil { continuation.yield() }
      }
      group.addTask {
        for await _ in wakeUps where await !drain() { break }
        continuation.finish()
      }
      // Either ends only by cancellation or with the database.
      await group.next()
      group.cancelAll()
    }
  }

  /// Delivers everything that waits; false where there is no point in going on.
  private func drain() async -> Bool {
    var failures = 0
    while !Task.isCancelled {
      do {
        guard try await deliverBatch() else { return true }
        failures = 0
      } catch StorageError.closed {
        return false
      } catch {
        if Task.isCancelled { return false }
        failures += 1
        let delay = backoff.delay(afterFailures: failures)
        logger?.warning(
          "delivery failed, will be tried again",
          metadata: ["topic": "\(topic)", "failures": "\(failures)", "delay": "\(delay)", "error": "\(error)"])
        guard (try? await Task.sleep(for: delay)) != nil else { return false }
      }
    }
    return false
  }

  /// True where there may be more.
  private func deliverBatch() async throws -> Bool {
    let rows = try await database.read { [topic, batch] connection in
      try connection.all(
        OutboxRow.self, "SELECT id, topic, key, payload, created_us FROM outbox WHERE topic = $1 ORDER BY id LIMIT $2",
        topic, batch)
    }
    guard !rows.isEmpty else { return false }
    try await deliver(rows)
    try await database.write { connection in
      for row in rows { try connection.execute("DELETE FROM outbox WHERE id = $1", row.id) }
    }
    return rows.count == batch
  }
}

/// Growing pauses between attempts: doubled each time up to a limit, then shortened by up to a half at random, so
/// that many who failed together do not come back together.
public struct Backoff: Sendable, Hashable {
  public var first: Duration
  public var limit: Duration

  public init(first: Duration = .milliseconds(50), limit: Duration = .seconds(5)) {
    self.first = first
    self.limit = limit
  }

  /// - Parameter failures: In a row, from 1.
  public func delay(afterFailures failures: Int) -> Duration {
    let doublings = min(max(failures - 1, 0), 20)
    let full = min(first * (1 << doublings), limit)
    return full * Double.random(in: 0.5...1)
  }
}
