import Dispatch
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

/// Several processes with one schema: each `Database` here is what one of them has.
@Suite(.timeLimit(.minutes(2))) struct PostgresSharingTests {
  private static let migrations = Fixture.migrations + [Migration(2, "outbox", sql: Outbox.schema)]

  @Test func countersLoseNothing() async throws {
    let store = try await TestStore(.postgres)
    let table = Migration(1, "counter", sql: "CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)")
    let databases = [try await store.open([table]), try await store.open([table]), try await store.open([table])]
    try await databases[0].write { _ = try $0.execute("INSERT INTO counter VALUES (1, 0)") }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<24 {
        group.addTask {
          for _ in 0..<25 {
            try await databases[task % 3].write { connection in
              let n = try connection.first("SELECT n FROM counter WHERE id = 1")?.int("n") ?? 0
              try connection.execute("UPDATE counter SET n = $1 WHERE id = 1", n + 1)
            }
          }
        }
      }
      try await group.waitForAll()
    }
    let n = try await databases[1].read { try $0.first("SELECT n FROM counter")?.int("n") }
    #expect(n == 24 * 25)
    for database in databases { await database.close() }
  }

  @Test func aFrozenTransactionIsEndedAndWritesNothing() async throws {
    let store = try await TestStore(.postgres)
    let options = DatabaseOptions(busyTimeout: .seconds(30), idleTransactionTimeout: .milliseconds(300))
    let frozen = try await store.open(Fixture.migrations, options: options)
    let other = try await store.open(Fixture.migrations, options: options)
    for endsWithStatement in [true, false] {
      let gate = DispatchSemaphore(value: 0)
      let (started, start) = AsyncStream.makeStream(of: Void.self)
      async let stale = storageError {
        try await frozen.write { connection in
          try connection.execute("INSERT INTO item (id, name) VALUES (1, 'stale')")
          start.finish()
          gate.wait()
          if endsWithStatement { try connection.execute("INSERT INTO item (id, name) VALUES (2, 'stale too')") }
        }
      }
      for await _ in started {}
      // Waits for the lock that the frozen one holds, until the server takes it away.
      let id = endsWithStatement ? 10 : 11
      try await other.insert(id, "n\(id)")
      gate.signal()
      guard case .unavailable = await stale else {
        Issue.record("the stale write was not refused")
        return
      }
    }
    try await frozen.insert(12, "n12")
    #expect(try await other.names() == ["n10", "n11", "n12"])
    await frozen.close()
    await other.close()
  }

  @Test func aWriterThatWaitsTooLongIsToldSo() async throws {
    let store = try await TestStore(.postgres)
    let patient = DatabaseOptions(idleTransactionTimeout: .seconds(60))
    let holder = try await store.open(Fixture.migrations, options: patient)
    let waiter = try await store.open(Fixture.migrations, options: DatabaseOptions(busyTimeout: .milliseconds(100)))
    let gate = DispatchSemaphore(value: 0)
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    async let held: Void = holder.write { _ in
      start.finish()
      gate.wait()
    }
    for await _ in started {}
    guard case .busy = await storageError({ try await waiter.insert(1, "one") }) else {
      Issue.record("expected a busy error")
      return
    }
    // Reading needs no turn.
    #expect(try await waiter.names().isEmpty)
    gate.signal()
    try await held
    try await waiter.insert(1, "one")
    await holder.close()
    await waiter.close()
  }

  @Test func announcementsReachOtherProcesses() async throws {
    let store = try await TestStore(.postgres)
    let migrations = OutboxFixture.migrations
    let (writer, reader) = (try await store.open(migrations), try await store.open(migrations))
    let receiver = ScriptedReceiver()
    // Polling cannot be what delivers: it would take an hour.
    let relay = OutboxRelay(
      reader, destination: "test", topics: ["it's a topic"], transport: receiver,
      options: OutboxRelayOptions(pollInterval: .seconds(3600)))
    let task = Task { await relay.run() }
    let server = try await PostgresServer.shared()
    for round in 1...30 {
      if round % 10 == 0 {
        // What is announced while nobody listens is found when the listener is back.
        try await server.sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN \"\(store.schema ?? "")\"'")
      }
      try await writer.write { try Outbox.add(topic: "it's a topic", key: "k\(round)", payload: [], in: $0) }
      try await eventually("delivered") { receiver.seen.taken.count == round }
    }
    #expect(receiver.seen.taken == (1...30).map { "k\($0)" })
    task.cancel()
    await task.value
    await writer.close()
    await reader.close()
  }
}
