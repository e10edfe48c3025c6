import Storage
import Synchronization
import TestSupport
import Testing

/// What a receiver got, in order.
private final class Receiver: Sendable {
  private let received = Mutex<[String]>([])
  var keys: [String] { received.withLock { $0 } }
  func take(_ rows: [OutboxRow]) { received.withLock { $0 += rows.map(\.key) } }
}

@Suite(.timeLimit(.minutes(2))) struct OutboxTests {
  private static let migrations = Fixture.migrations + [Migration(2, "outbox", sql: Outbox.schema)]
  private static let quick = Backoff(first: .milliseconds(1), limit: .milliseconds(5))

  private func add(_ keys: [String], topic: String = "t", to database: Database) async throws {
    try await database.write { connection in
      for key in keys { try Outbox.add(topic: topic, key: key, payload: Array(key.utf8), in: connection) }
    }
  }

  private func waiting(_ database: Database) async throws -> Int {
    try await database.read { try Outbox.waiting(topic: "t", in: $0) }
  }

  @Test(arguments: TestEngine.allCases) func ordersAndEmpties(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine, Self.migrations)
    let database = fixture.database
    let receiver = Receiver()
    let keys = (1...1000).map { "k\($0)" }
    try await add(Array(keys[..<500]), to: database)
    try await add(["other"], topic: "another", to: database)
    let relay = OutboxRelay(database, topic: "t", batch: 64) { rows in
      #expect(rows.count <= 64)
      #expect(rows.allSatisfy { $0.payload == Array($0.key.utf8) && $0.topic == "t" })
      receiver.take(rows)
    }
    let task = Task { await relay.run() }
    for key in keys[500...] { try await add([key], to: database) }
    try await eventually("all delivered") { try await waiting(database) == 0 }
    #expect(receiver.keys == keys)
    let others = try await database.read { try Outbox.waiting(topic: "another", in: $0) }
    #expect(others == 1)
    task.cancel()
    await task.value
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func triesAgainUntilItSucceeds(_ engine: TestEngine) async throws {
    struct Down: Error {}
    var random = SeededRandom()
    let failing = Set((0..<40).filter { _ in Bool.random(using: &random) })
    let fixture = try await Fixture(engine, Self.migrations)
    let database = fixture.database
    let receiver = Receiver()
    let attempts = Mutex(0)
    let relay = OutboxRelay(database, topic: "t", batch: 3, backoff: Self.quick) { rows in
      let attempt = attempts.withLock { count in
        defer { count += 1 }
        return count
      }
      if failing.contains(attempt) { throw Down() }
      receiver.take(rows)
    }
    let task = Task { await relay.run() }
    let keys = (1...60).map { "k\($0)" }
    for key in keys { try await add([key], to: database) }
    try await eventually("all delivered") { try await waiting(database) == 0 }
    #expect(receiver.keys == keys)
    task.cancel()
    await task.value
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func commitsWakeTheRelay(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine, Self.migrations)
    let receiver = Receiver()
    // Polling cannot be what delivers: it would take an hour.
    let relay = OutboxRelay(fixture.database, topic: "t", pollInterval: .seconds(3600)) { receiver.take($0) }
    let task = Task { await relay.run() }
    for round in 1...20 {
      try await add(["k\(round)"], to: fixture.database)
      try await eventually("delivered") { receiver.keys.count == round }
    }
    task.cancel()
    await task.value
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func nothingIsLostBetweenDeliveringAndDeleting(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine, Self.migrations)
    let database = fixture.database
    let receiver = Receiver()
    try await add(["a", "b"], to: database)
    let stuck = OutboxRelay(database, topic: "t") { rows in
      receiver.take(rows)
      try await Task.sleep(for: .seconds(3600))  // stopped here, after the receiver had them
    }
    let first = Task { await stuck.run() }
    try await eventually("delivered once") { receiver.keys == ["a", "b"] }
    first.cancel()
    await first.value
    await database.close()

    let again = try await fixture.store.open(Self.migrations)
    #expect(try await waiting(again) == 2)
    let relay = OutboxRelay(again, topic: "t") { receiver.take($0) }
    let second = Task { await relay.run() }
    try await eventually("delivered again") { try await waiting(again) == 0 }
    #expect(receiver.keys == ["a", "b", "a", "b"])
    second.cancel()
    await second.value
    await again.close()
  }

  @Test(arguments: TestEngine.allCases) func aMessageGoesWithItsState(_ engine: TestEngine) async throws {
    struct Refused: Error {}
    let fixture = try await Fixture(engine, Self.migrations)
    await #expect(throws: Refused.self) {
      try await fixture.database.write { connection in
        try connection.execute("INSERT INTO item (id, name) VALUES (1, 'x')")
        try Outbox.add(topic: "t", key: "x", payload: [], in: connection)
        throw Refused()
      }
    }
    #expect(try await waiting(fixture.database) == 0)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func closingTheDatabaseEndsTheRelay(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine, Self.migrations)
    let relay = OutboxRelay(fixture.database, topic: "t", pollInterval: .seconds(3600)) { _ in }
    let task = Task { await relay.run() }
    await fixture.database.close()
    await task.value
  }

  @Test func pausesGrowToTheirLimit() {
    let backoff = Backoff(first: .milliseconds(50), limit: .seconds(5))
    for failures in 1...100 {
      let full = min(.milliseconds(50) * (1 << min(failures - 1, 20)), .seconds(5))
      let delay = backoff.delay(afterFailures: failures)
      #expect(delay >= full * 0.5 && delay <= full)
    }
  }
}
