import Foundation
import ServiceTestSupport
import Storage

/// A database with an outbox and an inbox.
struct OutboxFixture {
  static let migrations = [
    Migration(1, "outbox", sql: Outbox.schema), Migration(2, "delivery", sql: Outbox.schema2),
    Migration(3, "inbox", sql: Inbox.schema), Migration(4, "idempotency", sql: Idempotency.schema),
    Migration(5, "item", sql: "CREATE TABLE item (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);"),
  ]
  /// Quick to try again; woken by commits alone.
  static let options = OutboxRelayOptions(
    pollInterval: .seconds(3_600), gathering: .milliseconds(1),
    backoff: Backoff(first: .milliseconds(1), limit: .milliseconds(5)))

  let store: TestStore
  let database: Database

  init(_ engine: TestEngine) async throws {
    store = try await TestStore(engine)
    database = try await store.open(Self.migrations)
  }

  func add(_ keys: [String], topic: String = "t") async throws { try await Self.add(keys, topic: topic, to: database) }

  static func add(_ keys: [String], topic: String = "t", to database: Database) async throws {
    try await database.write { connection in
      for key in keys { try Outbox.add(topic: topic, key: key, payload: Array(key.utf8), in: connection) }
    }
  }

  func waiting(_ topic: String = "t") async throws -> Int {
    try await database.read { try Outbox.waiting(topic: topic, in: $0) }
  }

  func refused() async throws -> [RefusedMessage] {
    try await database.read { try Outbox.refused(after: 0, limit: 1_000, in: $0) }
  }

  func relay(
    _ receiver: any DeliveryTransport, topics: [String] = ["t"], options: OutboxRelayOptions = Self.options
  ) -> OutboxRelay {
    OutboxRelay(database, destination: "test", topics: topics, transport: receiver, options: options)
  }

  /// Runs relays beside `body`, and the end of them.
  func relaying(_ relays: OutboxRelay..., body: () async throws -> Void) async throws {
    let tasks = relays.map { relay in Task { await relay.run() } }
    let result: Result<Void, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
    try result.get()
  }
}
