import Dispatch
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

/// Holds the writer inside a closure, so that the writers after it gather for one turn.
private func whileWriterIsBusy<T: Sendable>(
  _ database: Database, untilWaiting count: Int, _ body: @Sendable @escaping () async throws -> T
) async throws -> T {
  let gate = DispatchSemaphore(value: 0)
  let (started, start) = AsyncStream.makeStream(of: Void.self)
  async let busy: Void = database.write { _ in
    start.finish()
    gate.wait()
  }
  for await _ in started {}
  async let result = body()
  do {
    try await eventually("\(count) writers wait") { database.statistics.waitingWrites >= count }
  } catch {
    gate.signal()
    throw error
  }
  gate.signal()
  try await busy
  return try await result
}

private final class Log: Sendable {
  private let entries = Mutex<[Int]>([])
  var all: [Int] { entries.withLock { $0 } }
  func add(_ entry: Int) { entries.withLock { $0.append(entry) } }
}

@Suite struct GroupCommitTests {
  @Test(arguments: TestEngine.allCases) func writersOfOneTurnShareATransaction(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let database = fixture.database
    let before = database.statistics.commits
    try await whileWriterIsBusy(database, untilWaiting: 64) {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for id in 1...64 { group.addTask { try await fixture.insert(id, "n\(id)") } }
        try await group.waitForAll()
      }
    }
    // One for the writer that held the turn up, one for all the others.
    #expect(database.statistics.commits - before == 2)
    #expect(database.statistics.largestBatch == 64)
    #expect(try await fixture.names().count == 64)
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func oneThatThrowsIsUndoneAlone(_ engine: TestEngine) async throws {
    struct Refused: Error {}
    let fixture = try await Fixture(engine)
    let database = fixture.database
    let commits = database.statistics.commits
    let outcomes = try await whileWriterIsBusy(database, untilWaiting: 20) {
      await withTaskGroup(of: (Int, Bool).self) { group in
        for id in 1...20 {
          group.addTask {
            do {
              try await database.write { connection in
                try connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, "n\(id)")
                if id % 3 == 0 { throw Refused() }
                if id % 5 == 0 { try connection.execute("INSERT INTO item (id, name) VALUES ($1, 'again')", id) }
              }
              return (id, true)
            } catch {
              return (id, false)
            }
          }
        }
        return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
      }
    }
    let good = (1...20).filter { $0 % 3 != 0 && $0 % 5 != 0 }
    #expect(outcomes.filter(\.value).keys.sorted() == good)
    #expect(try await fixture.names() == good.map { "n\($0)" })
    #expect(database.statistics.commits - commits == 2)
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func aFailingCommitFailsTheWholeTurn(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine, [
      Migration(
        1, "family",
        sql: """
          CREATE TABLE parent (id INTEGER PRIMARY KEY);
          CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
          """)
    ])
    let database = fixture.database
    let log = Log()
    let errors = try await whileWriterIsBusy(database, untilWaiting: 2) {
      await withTaskGroup(of: StorageError?.self) { group in
        for sql in ["INSERT INTO parent (id) VALUES (1)", "INSERT INTO child (parent) VALUES (99)"] {
          group.addTask {
            await storageError {
              try await database.write { connection in
                connection.afterCommit { log.add(1) }
                try connection.execute(sql)
              }
            }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
    }
    #expect(errors.count == 2)
    for error in errors {
      guard case .constraint(.foreignKey, _) = error else {
        Issue.record("expected a foreign key error, got \(String(describing: error))")
        continue
      }
    }
    #expect(log.all.isEmpty)
    let parents = try await database.read { try $0.rows("SELECT * FROM parent").count }
    #expect(parents == 0)
    await database.close()
  }

  /// `OR ROLLBACK` makes SQLite end the whole transaction, as it may when the disk is full.
  @Test func aTransactionThatTheEngineGaveUp() async throws {
    let fixture = try await Fixture(.sqlite)
    let database = fixture.database
    try await fixture.insert(1, "one")
    let errors = try await whileWriterIsBusy(database, untilWaiting: 3) { () async throws -> [StorageError?] in
      let first = Task { await storageError { try await fixture.insert(2, "two") } }
      try await eventually("the first waits") { database.statistics.waitingWrites == 1 }
      let second = Task {
        await storageError {
          _ = try await database.write { connection in
            try connection.execute("INSERT OR ROLLBACK INTO item (id, name) VALUES (1, 'again')")
          }
        }
      }
      try await eventually("the second waits") { database.statistics.waitingWrites == 2 }
      let third = Task { await storageError { try await fixture.insert(3, "three") } }
      return [await first.value, await second.value, await third.value]
    }
    // Not the other one's constraint: that would be taken for its own.
    guard case .busy = errors[0], case .constraint(.primaryKey, _) = errors[1], errors[2] == nil else {
      Issue.record("got \(errors)")
      return
    }
    #expect(try await fixture.names() == ["one", "three"])
    await database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func actionsRunAfterTheCommitInOrderAndOnlyThen(_ engine: TestEngine) async throws {
    struct Refused: Error {}
    let fixture = try await Fixture(engine)
    let log = Log()
    for id in 1...9 {
      try? await fixture.database.write { connection in
        connection.afterCommit { log.add(id) }
        try connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, "n\(id)")
        if id == 5 { throw Refused() }
      }
      // Before the writer is answered:
      #expect(log.all.last == (id == 5 ? 4 : id))
    }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func manyWritersAndReaders(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let order = Array(1...640).shuffled(using: &random)
    let fixture = try await Fixture(engine)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for writer in 0..<64 {
        group.addTask {
          for id in order[(writer * 10)..<(writer * 10 + 10)] {
            try await fixture.insert(id, "n\(id)")
            // A write that was answered is seen by every later read.
            let found = try await fixture.database.read { try $0.first("SELECT name FROM item WHERE id = $1", id) }
            #expect(try found?.text("name") == "n\(id)")
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try await fixture.names() == (1...640).map { "n\($0)" })
    let statistics = fixture.database.statistics
    #expect(statistics.writes == 640)
    #expect(statistics.commits < 640)
    await fixture.database.close()
  }
}
