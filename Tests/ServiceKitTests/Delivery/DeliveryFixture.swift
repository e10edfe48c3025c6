import Foundation
import Logging
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Synchronization

@testable import ServiceKit

/// A receiving service: a database with an inbox behind a real server that can be stopped and started again.
final class Receiver: Sendable {
  static let migrations = [
    Migration(1, "inbox", sql: Inbox.schema),
    Migration(
      2, "event",
      sql: """
        CREATE TABLE event (
          number INTEGER PRIMARY KEY AUTOINCREMENT, mission TEXT NOT NULL, sequence BIGINT NOT NULL);
        """),
  ]

  let database: Database
  let announced = Mutex<[String]>([])
  let log = LogRecorder()
  private let store: TestStore
  /// What a test wants of an event before it is stored.
  private let check: @Sendable (ProgressEvent) throws -> Void
  private let running = Mutex<(server: Server, inbox: InboxService, port: Int)?>(nil)

  init(_ engine: TestEngine, check: @escaping @Sendable (ProgressEvent) throws -> Void = { _ in }) async throws {
    store = try await TestStore(engine)
    database = try await store.open(Self.migrations)
    self.check = check
  }

  var topics: [InboxTopic] {
    [
      InboxTopic("event", ProgressEvent.self) { [self] event, key, connection in
        try connection.execute(
          "INSERT INTO event (mission, sequence) VALUES ($1, $2)", event.missionId, Int64(event.sequence))
        connection.afterCommit { self.announced.withLock { $0.append("\(key):\(event.sequence)") } }
        try check(event)
      }
    ]
  }

  var port: Int { running.withLock { $0?.port ?? 1 } }
  var inbox: InboxService? { running.withLock { $0?.inbox } }

  /// Listens, on the port of the time before if there was one.
  func start() async throws {
    let inbox = InboxService(database: database, topics: topics, logger: log.logger)
    var router = Router()
    router.register(inbox)
    let server = Server(router: router)
    let port = try await server.start(host: "127.0.0.1", port: lastPort.withLock { $0 }).port
    lastPort.withLock { $0 = port }
    running.withLock { $0 = (server, inbox, port) }
  }

  private let lastPort = Mutex(0)

  /// Cuts all connections off, or lets conversations end in order.
  func stop(inOrder: Bool = false) async {
    guard let (server, inbox, _) = running.withLock({ $0 }) else { return }
    if inOrder { inbox.stop() }
    await server.shutdown(grace: inOrder ? .seconds(30) : .zero)
  }

  func close() async {
    await stop()
    await database.close()
  }

  /// What is stored, in order: `mission:sequence`.
  func stored() async throws -> [String] {
    try await database.read { connection in
      try connection.rows("SELECT mission, sequence FROM event ORDER BY number").map {
        "\(try $0.text("mission")):\(try $0.int("sequence"))"
      }
    }
  }
}

/// A sending service: a database with an outbox, and a relay to a receiver.
struct Sender {
  static let migrations = [
    Migration(1, "outbox", sql: Outbox.schema), Migration(2, "delivery", sql: Outbox.schema2),
  ]

  let database: Database
  let log = LogRecorder()
  private let store: TestStore

  init(_ engine: TestEngine) async throws {
    store = try await TestStore(engine)
    database = try await store.open(Self.migrations)
  }

  func send(_ mission: String, _ sequences: ClosedRange<UInt64>) async throws {
    try await database.write { connection in
      for sequence in sequences {
        let event = ProgressEvent(missionId: mission, sequence: sequence)
        try Outbox.add(topic: "event", key: mission, payload: try event.bytes(), in: connection)
      }
    }
  }

  func send(topic: String = "event", key: String, payload: [UInt8]) async throws {
    try await database.write { try Outbox.add(topic: topic, key: key, payload: payload, in: $0) }
  }

  func waiting() async throws -> Int {
    try await database.read { try Outbox.statistics(in: $0).reduce(0) { $0 + $1.waiting } }
  }

  func refused() async throws -> [RefusedMessage] {
    try await database.read { try Outbox.refused(after: 0, limit: 1_000, in: $0) }
  }

  /// Delivers to the receiver while `body` runs.
  func relaying(to receiver: Receiver, topics: [String] = ["event"], _ body: () async throws -> Void) async throws {
    var options = OutboxRelayOptions()
    options.backoff = Backoff(first: .milliseconds(5), limit: .milliseconds(100))
    var client = ClientOptions()
    (client.minimumBackoff, client.maximumBackoff) = (.milliseconds(5), .milliseconds(50))
    let relay = OutboxRelay(
      database, destination: "receiver", topics: topics,
      transport: InboxTransport(Client(host: "127.0.0.1", port: receiver.port, options: client)), options: options,
      logger: log.logger)
    let task = Task { await relay.run() }
    let result: Result<Void, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    task.cancel()
    await task.value
    try result.get()
  }
}

/// Keeps the lines of a log.
final class LogRecorder: Sendable {
  private let recorded = Mutex<[String]>([])

  var lines: [String] { recorded.withLock { $0 } }

  var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

  private struct Handler: LogHandler {
    let recorder: LogRecorder
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      recorder.recorded.withLock { $0.append("\(event.level) \(event.message) \(fields.joined(separator: " "))") }
    }
  }
}
