public import Logging

public struct OutboxRelayOptions: Sendable {
  /// How many messages may be on their way: sent, and not yet receipted and deleted. At least 1.
  public var window: Int
  /// How many messages are read at a time. At least 1.
  public var batch: Int
  /// How often to look without having been woken: a safety net, commits wake the relay at once.
  public var pollInterval: Duration
  /// How long receipts are gathered, so that many messages are deleted in one write: each costs the database a flush,
  /// for which the writes that somebody waits for would have to wait.
  public var gathering: Duration
  /// A receiver that answers nothing for so long while messages are on their way is given up, and tried anew.
  public var receiptTimeout: Duration
  public var backoff: Backoff

  public init(
    window: Int = 1_024, batch: Int = 256, pollInterval: Duration = .seconds(1),
    gathering: Duration = .milliseconds(50), receiptTimeout: Duration = .seconds(30), backoff: Backoff = Backoff()
  ) {
    self.window = max(1, window)
    self.batch = max(1, batch)
    self.pollInterval = pollInterval
    self.gathering = gathering
    self.receiptTimeout = receiptTimeout
    self.backoff = backoff
  }
}

/// Delivers the messages of some topics of a database's outbox to one receiver: in order, again and again until it
/// has answered for each.
///
/// A message goes out as soon as it is committed, without waiting for the answers to those before it, and is deleted
/// after its receipt. What has no receipt when a conversation breaks is sent again in the next, so a message may arrive
/// twice: receivers take each id once (``Inbox``). A message that is refused for good is set aside in the outbox and
/// holds up no other.
///
/// Several relays of the same topics, in processes that share a database, do no harm: each sends every message that it
/// finds, in order, the receiver takes it once, and what one has deleted is gone for the others.
public struct OutboxRelay: Sendable {
  let database: Database
  let destination: String
  let topics: [String]
  let transport: any DeliveryTransport
  let options: OutboxRelayOptions
  let logger: Logger?

  /// - Parameters:
  ///   - destination: The receiver's name, for the log.
  ///   - topics: Which messages go there.
  public init(
    _ database: Database, destination: String, topics: [String], transport: any DeliveryTransport,
    options: OutboxRelayOptions = .init(), logger: Logger? = nil
  ) {
    self.database = database
    self.destination = destination
    self.topics = topics
    self.transport = transport
    self.options = options
    self.logger = logger
  }

  /// Delivers until the task is cancelled or the database closed.
  public func run() async {
    let news = WakeUp()
    await database.signals.waking(news, for: topics) {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { while (try? await Task.sleep(for: options.pollInterval)) != nil { news.raise() } }
        group.addTask { await deliver(news) }
        // Each ends only by cancellation or with the database.
        await group.next()
        group.cancelAll()
      }
    }
  }

  /// One conversation after the other, each as long as it holds.
  private func deliver(_ news: WakeUp) async {
    var failures = 0
    while !Task.isCancelled {
      let conversation = OutboxConversation(relay: self, after: failures, news: news)
      var failure: (any Error)?
      do {
        // The receiver is left alone while there is nothing to say: that it is down is then nobody's trouble.
        guard try await waitForMessages(news) else { return }
        try await transport.converse { try await conversation.run($0) }
      } catch StorageError.closed {
        return
      } catch {
        failure = error
      }
      guard !Task.isCancelled else { return }
      if conversation.hasReceipts { failures = 0 }
      // That one ends which has done its work, as it does when the receiver is restarted, is no failure.
      let isFailure = conversation.hasUnreceipted || !conversation.hasReceipts || failure is StorageError
      if isFailure { failures += 1 }
      let delay = options.backoff.delay(afterFailures: max(1, failures))
      if isFailure { log(failure, failures, delay) }
      try? await Task.sleep(for: delay)
    }
  }

  /// A receiver that is away for a day is not worth a line every other second.
  private func log(_ failure: (any Error)?, _ failures: Int, _ delay: Duration) {
    guard failures & (failures - 1) == 0 else { return }
    logger?.warning(
      "delivery failed, will be tried again",
      metadata: [
        "destination": "\(destination)", "failures": "\(failures)", "delay": "\(delay)",
        "error": "\(failure.map { "\($0)" } ?? "the receiver ended the conversation")",
      ])
  }

  private func waitForMessages(_ news: WakeUp) async throws -> Bool {
    while try await next(after: 0, limit: 1).isEmpty {
      guard await news.sleep() else { return false }
    }
    return true
  }

  /// The first messages behind row `id`, in the order of adding.
  func next(after id: Int64, limit: Int) async throws -> [OutboxRow] {
    try await database.read { connection in
      // A query for each topic, so that an index gives its rows in order however many wait for other receivers.
      var rows: [OutboxRow] = []
      for topic in topics {
        rows += try connection.all(
          OutboxRow.self,
          """
          SELECT id, message_id, topic, key, payload, trace_parent, created_us FROM outbox
          WHERE topic = $1 AND id > $2 AND refused_us IS NULL ORDER BY id LIMIT $3
          """, topic, id, limit)
      }
      if topics.count > 1 { rows.sort { $0.id < $1.id } }
      return Array(rows.prefix(limit))
    }
  }
}
