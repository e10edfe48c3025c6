import Foundation
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

/// Writers that go on to their next row once they were answered, try again where nothing was written, and leave a row
/// be whose outcome is unknown.
private final class Storm: Sendable {
  struct Tally: Sendable {
    var answered: Set<Int> = []
    var unknown: Set<Int> = []
    var unavailable = 0
    var isOver = false
  }

  private let state = Mutex(Tally())
  let database: Database
  var tally: Tally { state.withLock { $0 } }

  init(_ database: Database) { self.database = database }

  func end() { state.withLock { $0.isOver = true } }

  func write(from first: Int, by step: Int) async throws {
    var id = first
    while !tally.isOver {
      if try await write(id) { id += step }
    }
  }

  /// False where it is to be tried again.
  private func write(_ id: Int) async throws -> Bool {
    do {
      try await database.write { _ = try $0.execute("INSERT INTO entry (id) VALUES ($1)", id) }
      state.withLock { _ = $0.answered.insert(id) }
    } catch StorageError.unavailable {
      state.withLock { $0.unavailable += 1 }
      return false
    } catch StorageError.outcomeUnknown {
      state.withLock { _ = $0.unknown.insert(id) }
    }
    return true
  }
}

/// Connections and servers that go away.
@Suite(.timeLimit(.minutes(3))) struct PostgresFaultTests {
  /// Ends the connections of an application, as a failing network or an administrator does.
  private func cutOff(_ application: String, by administrator: Database) async throws -> [Int] {
    try await administrator.read { connection in
      try connection.rows(
        "SELECT pid, pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = $1) AS a",
        application
      ).map { try $0.int("pid") }
    }
  }

  @Test func nothingAnsweredIsLostAndNothingIsWrittenTwice() async throws {
    var random = SeededRandom()
    let pauses = (0..<60).map { _ in Int.random(in: 1...30, using: &random) }
    let store = try await TestStore(.postgres)
    let table = Migration(1, "entry", sql: "CREATE TABLE entry (id BIGINT NOT NULL)")
    let database = try await store.open([table], options: DatabaseOptions(applicationName: "storm"))
    let administrator = try await TestStore(.postgres).open([])
    let storm = Storm(database)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<16 { group.addTask { try await storm.write(from: writer, by: 16) } }
      var cuts = 0
      for pause in pauses {
        try await Task.sleep(for: .milliseconds(pause))
        cuts += try await cutOff("storm", by: administrator).count
      }
      storm.end()
      try await group.waitForAll()
      #expect(cuts >= pauses.count)
    }
    let counts = try await database.read { connection in
      try connection.rows("SELECT id, count(*) AS n FROM entry GROUP BY id").map { (try $0.int("id"), try $0.int("n")) }
    }
    let end = storm.tally
    print("answered \(end.answered.count), unknown \(end.unknown.count), not written \(end.unavailable)")
    #expect(counts.allSatisfy { $0.1 == 1 })
    let found = Set(counts.map(\.0))
    #expect(end.answered.isSubset(of: found))
    #expect(found.isSubset(of: end.answered.union(end.unknown)))
    #expect(end.answered.count > 100 && end.unavailable + end.unknown.count > 0)
    await database.close()
    await administrator.close()
  }

  /// A trigger that runs at the commit holds it up there, and the connection is cut.
  @Test func aConnectionLostDuringTheCommitIsAnOutcomeUnknown() async throws {
    let fixture = try await Fixture(.postgres, options: DatabaseOptions(applicationName: "committing"))
    let schema = try #require(fixture.store.schema)
    let server = try await PostgresServer.shared()
    try await server.sql(
      """
      CREATE FUNCTION \(schema).wait() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER late AFTER INSERT ON \(schema).item DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION \(schema).wait();
      """)
    async let outcome = storageError { try await fixture.insert(1, "one") }
    try await eventually("the commit has begun") {
      try await server.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'committing' AND wait_event = 'PgSleep'") == "1"
    }
    try await server.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'committing'")
    guard case .outcomeUnknown = await outcome else {
      Issue.record("got \(String(describing: await outcome))")
      return
    }
    try await server.sql("DROP TRIGGER late ON \(schema).item")
    try await fixture.insert(2, "two")
    #expect(try await fixture.names() == ["two"])
    await fixture.database.close()
  }

  @Test func aConnectionThatBrokeWhileIdleIsNotNoticed() async throws {
    let fixture = try await Fixture(.postgres, options: DatabaseOptions(readers: 1, applicationName: "idle"))
    let administrator = try await TestStore(.postgres).open([])
    func cutOffAll() async throws {
      let processes = try await cutOff("idle", by: administrator)
      #expect(!processes.isEmpty)
      let list = processes.map(String.init).joined(separator: ", ")
      try await eventually("they are gone") {
        try await administrator.read { try $0.rows("SELECT 1 FROM pg_stat_activity WHERE pid IN (\(list))").isEmpty }
      }
    }
    for round in 1...5 {
      try await cutOffAll()
      try await fixture.insert(round, "n\(round)")
      try await cutOffAll()
      #expect(try await fixture.names().count == round)
    }
    await fixture.database.close()
    await administrator.close()
  }

  @Test func aConnectionThatBreaksInsideAClosureFailsItAlone() async throws {
    let fixture = try await Fixture(.postgres)
    let cut = "SELECT pg_terminate_backend(pg_backend_pid())"
    let writing = await storageError {
      try await fixture.database.write { connection in
        try connection.execute("INSERT INTO item (id, name) VALUES (1, 'gone')")
        // Even where the closure does not care.
        _ = try? connection.rows(cut)
      }
    }
    let reading = await storageError {
      try await fixture.database.read { connection in
        _ = try connection.rows("SELECT * FROM item")
        _ = try connection.rows(cut)
      }
    }
    for error in [writing, reading] {
      guard case .unavailable = error else {
        Issue.record("got \(String(describing: error))")
        continue
      }
    }
    try await fixture.insert(2, "two")
    #expect(try await fixture.names() == ["two"])
    await fixture.database.close()
  }

  /// The system still keeps the socket open, so only the limit on answers can end the wait.
  @Test func aServerThatNoLongerAnswersIsGivenUp() async throws {
    let fixture = try await Fixture(.postgres, options: DatabaseOptions(statementTimeout: .milliseconds(100)))
    let process = try await fixture.database.write { try $0.first("SELECT pg_backend_pid() AS id")?.int("id") ?? 0 }
    kill(Int32(process), SIGSTOP)
    defer { kill(Int32(process), SIGCONT) }
    try await fixture.insert(1, "on another connection")
    let other = try await fixture.database.write { try $0.first("SELECT pg_backend_pid() AS id")?.int("id") }
    #expect(other != process)
    #expect(try await fixture.names() == ["on another connection"])
    await fixture.database.close()
  }

  @Test func aServerThatIsRestarted() async throws {
    let server = try await PostgresServer()
    let store = try await TestStore(on: server)
    let options = DatabaseOptions(reconnectWait: .milliseconds(200))
    let fixture = try await Fixture(store, options: options)
    try await fixture.insert(1, "before")
    try await server.stop()
    for _ in 0..<20 {
      let errors = [
        await storageError { try await fixture.insert(2, "while it is away") },
        await storageError { _ = try await fixture.names() },
      ]
      for error in errors {
        guard case .unavailable = error else {
          Issue.record("got \(String(describing: error))")
          return
        }
      }
    }
    // One that opens meanwhile waits for the server, but not for ever.
    let impatient = DatabaseOptions(startTimeout: .milliseconds(100))
    let early = await storageError { _ = try await store.open(Fixture.migrations, options: impatient) }
    guard case .unavailable = early else {
      Issue.record("got \(String(describing: early))")
      return
    }
    async let waiting = store.open(Fixture.migrations)
    try await server.start()
    let second = try await waiting
    try await eventually("it writes again") { await storageError { try await fixture.insert(3, "after") } == nil }
    #expect(try await second.names() == ["before", "after"])
    try await eventually("it reads again") { await storageError { _ = try await fixture.names() } == nil }
    await second.close()
    await fixture.database.close()
  }
}
