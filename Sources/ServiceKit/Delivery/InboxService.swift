public import Logging
public import Messages
public import RPC
public import Storage
public import Stubs
import Synchronization

/// `buddy.delivery.v1.Inbox`: takes in what other services' outboxes deliver, each message once.
///
/// What has arrived is taken in together, in one write, and receipted after its commit. A message that is refused is
/// not noted as taken: it may come again once whoever refused it has changed its mind.
public final class InboxService: InboxHandler {
  /// How many deliveries one write takes in at the most, and how many bytes may wait for it.
  static let largestBatch = 256
  static let largestBytes = 8 << 20
  static let longestID = 200
  /// The longest reason of a refusal, in characters.
  static let longestReason = 1_000

  private struct Conversations {
    var open: [ObjectIdentifier: DeliveryQueue] = [:]
    var isStopped = false
  }

  private let database: Database
  private let topics: [String: InboxTopic]
  private let logger: Logger
  private let conversations = Mutex(Conversations())

  /// - Parameter topics: What is taken in; messages of other topics are refused.
  public init(database: Database, topics: [InboxTopic], logger: Logger) {
    self.database = database
    self.topics = Dictionary(topics.map { ($0.name, $0) }) { $1 }
    self.logger = logger
  }

  /// Ends every conversation once what it has brought is taken in: the service is stopping.
  public func stop() {
    let open = conversations.withLock { conversations in
      conversations.isStopped = true
      return Array(conversations.open.values)
    }
    for queue in open { queue.finish() }
  }

  public func deliver(
    _ requests: RequestStream<Delivery>, _ responses: ResponseWriter<DeliveryReceipt>, _ context: ServerContext
  ) async throws {
    let queue = DeliveryQueue(largestCount: Self.largestBatch, largestBytes: Self.largestBytes)
    try begin(queue)
    defer { end(queue) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        defer { queue.finish() }
        for try await delivery in requests { guard await queue.put(delivery) else { return } }
      }
      while let batch = await queue.takeAll() {
        for receipt in try await take(batch) { try await responses.write(receipt) }
      }
      try Task.checkCancellation()
      if conversations.withLock({ $0.isStopped }) { throw Self.stopping }
      try await group.waitForAll()
    }
  }

  private static let stopping = Status(.unavailable, "the service is stopping")

  private func begin(_ queue: DeliveryQueue) throws {
    try conversations.withLock { conversations in
      guard !conversations.isStopped else { throw Self.stopping }
      conversations.open[ObjectIdentifier(queue)] = queue
    }
  }

  private func end(_ queue: DeliveryQueue) {
    conversations.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(queue)) }
  }

  // MARK: - Taking in

  private func take(_ batch: [Delivery]) async throws -> [DeliveryReceipt] {
    // Those of a write that fails end when they are dropped.
    let spans = batch.map { ServiceTracer.current.taking($0) }
    let (receipts, failures) = try await database.write { connection in
      var failures: [(Delivery, any Error)] = []
      let receipts = try batch.map { delivery in
        try self.take(delivery, connection) { failures.append((delivery, $0)) }
      }
      return (receipts, failures)
    }
    for (span, receipt) in zip(spans, receipts) { span?.end(receipt) }
    for (delivery, error) in failures {
      logger.error(
        "a message could not be taken in and was refused",
        metadata: [
          "topic": "\(delivery.topic)", "key": "\(delivery.key)", "message": "\(delivery.id)", "error": "\(error)",
        ])
    }
    return receipts
  }

  private func take(
    _ delivery: Delivery, _ connection: WriteConnection, ours: (any Error) -> Void
  ) throws -> DeliveryReceipt {
    guard (1...Self.longestID).contains(delivery.id.utf8.count) else {
      return refusal(delivery, "a message's id has 1 to \(Self.longestID) bytes")
    }
    guard let topic = topics[delivery.topic] else {
      return refusal(delivery, "messages of the topic \"\(delivery.topic)\" are not taken here")
    }
    do {
      return try connection.savepoint {
        guard try Inbox.take(delivery.id, in: connection) else {
          return DeliveryReceipt(id: delivery.id, outcome: .repeated)
        }
        try topic.take(delivery, connection)
        return DeliveryReceipt(id: delivery.id, outcome: .taken)
      }
    } catch {
      guard case .refusal(let reason, let isOurs) = InboxFailure(error) else { throw error }
      if isOurs { ours(error) }
      return refusal(delivery, reason)
    }
  }

  private func refusal(_ delivery: Delivery, _ reason: String) -> DeliveryReceipt {
    DeliveryReceipt(id: delivery.id, outcome: .refused, reason: String(reason.prefix(Self.longestReason)))
  }
}

extension InboxService {
  /// How long the ids of taken messages are kept.
  public static let retention = Setting<Duration>(
    "inbox-retention", default: .seconds(7 * 86_400),
    help: "how long a message that was taken in is recognised when it comes again",
    in: .seconds(3_600)...(.seconds(3_650 * 86_400)))

  /// Forgets taken messages after a time; for a service's background.
  public static func pruner(_ database: Database, _ environment: ServiceEnvironment) -> Pruner {
    Pruner("inbox", database, retention: environment.settings[retention], logger: environment.logger) {
      try Inbox.prune(before: $0, limit: $1, in: $2)
    }
  }
}
