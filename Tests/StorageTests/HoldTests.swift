import Foundation
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

/// A database with numbered texts, on any engine.
private func open(_ store: TestStore, _ options: DatabaseOptions = .init()) async throws -> Database {
  try await store.open(Fixture.migrations, options: options)
}

private func insert(_ id: Int, _ database: Database, name: String? = nil) async throws {
  let name = name ?? "n\(id)"
  try await database.write { _ = try $0.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, name) }
}

/// What several tasks note together.
private final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>

  init(_ value: Value) { self.value = Mutex(value) }

  func withLock<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
    value.withLock { body(&$0) }
  }
}

/// The ids in a copy, which is opened as the service would open it.
private func ids(inCopy path: String) async throws -> [Int] {
  let copy = try await Database.open(.sqlite(path: path), migrations: Fixture.migrations)
  let ids = try await copy.read { try $0.rows("SELECT id FROM item ORDER BY id").map { try $0.int("id") } }
  await copy.close()
  return ids
}

private func ids(in database: Database) async throws -> [Int] {
  try await database.read { try $0.rows("SELECT id FROM item ORDER BY id").map { try $0.int("id") } }
}

@Suite(.timeLimit(.minutes(2))) struct HoldTests {
  @Test(arguments: TestEngine.allCases) func writersWaitAndGoOn(_ engine: TestEngine) async throws {
    let (store, folder) = (try await TestStore(engine), try TemporaryFolder("copy"))
    let database = try await open(store)
    try await insert(1, database)
    let snapshot = try await database.hold(limit: .seconds(60))
    let written = Shared<[Int]>([])
    let writers = (2...20).map { id in
      Task {
        try await insert(id, database)
        written.withLock { $0.append(id) }
      }
    }
    try await eventually("all writers wait") { database.statistics.waitingWrites == 19 }
    #expect(try await ids(in: database) == [1], "readers do not wait")
    #expect(written.withLock { $0 } == [])

    try snapshot.release()
    for writer in writers { try await writer.value }
    #expect(written.withLock { $0.sorted() } == Array(2...20))
    // Taken after the writers went on, and still the moment that was held.
    try await snapshot.copy(to: folder.file("copy"))
    await snapshot.end()
    #expect(try await ids(inCopy: folder.file("copy")) == [1])
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func whatWasAnsweredIsInTheCopy(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let (store, folder) = (try await TestStore(engine), try TemporaryFolder("copy"))
    let database = try await open(store, DatabaseOptions(largestBatch: 8))
    // Storms of writers: each notes what it was answered.
    let answered = Shared<Set<Int>>([])
    let next = Shared(0)
    let stop = Shared(false)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<16 {
        group.addTask {
          while !stop.withLock({ $0 }) {
            let id = next.withLock { next in
              next += 1
              return next
            }
            guard (try? await insert(id, database, name: String(repeating: "x", count: 2_000) + "\(id)")) != nil
            else { return }
            answered.withLock { _ = $0.insert(id) }
          }
        }
      }
      for round in 1...5 {
        let goal = answered.withLock { $0.count } + Int.random(in: 20...200, using: &random)
        _ = try? await eventually("some are written") { answered.withLock { $0.count } >= goal }
        do {
          let before = answered.withLock { $0 }
          let snapshot = try await database.hold(limit: .seconds(60))
          let now = Set(try await ids(in: database))
          try snapshot.release()
          // The storm goes on while the copy is made.
          let path = folder.file("copy-\(round)")
          try await snapshot.copy(to: path)
          await snapshot.end()
          let copied = Set(try await ids(inCopy: path))
          #expect(copied.isSuperset(of: before))
          #expect(copied == now, "nothing was written between hold and release, and nothing later is in the copy")
        } catch {
          Issue.record("round \(round): \(error)")
        }
      }
      stop.withLock { $0 = true }
    }
    #expect(Set(try await ids(in: database)) == answered.withLock { $0 })
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func aHoldEndsByItself(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let database = try await open(store)
    let limit = Duration.milliseconds(50)
    let snapshot = try await database.hold(limit: limit)
    // Returns only because the writer went on by itself.
    try await insert(1, database)
    #expect(throws: HoldExpired(limit: limit)) { try snapshot.release() }
    await snapshot.end()
    await snapshot.end()
    try await insert(2, database)
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func endingOrDroppingItLetsWritersGo(_ engine: TestEngine) async throws {
    let (store, folder) = (try await TestStore(engine), try TemporaryFolder("copy"))
    let database = try await open(store)
    let ended = try await database.hold(limit: .seconds(3600))
    await ended.end()
    try await insert(1, database)
    #expect(await storageError { try await ended.copy(to: folder.file("late")) } == .closed)
    var dropped: HeldSnapshot? = try await database.hold(limit: .seconds(3600))
    #expect(try await dropped?.read { try $0.rows("SELECT id FROM item").count } == 1)
    dropped = nil
    try await insert(2, database)
    await database.close()
  }

  @Test func writersOfOtherProcessesWaitToo() async throws {
    let (store, folder) = (try await TestStore(.postgres), try TemporaryFolder("copy"))
    let server = try await PostgresServer.shared()
    let (first, second) = (try await open(store), try await open(store))
    try await insert(1, second)
    let snapshot = try await first.hold(limit: .seconds(60))
    let writer = Task { try await insert(2, second) }
    try await eventually("the other one waits for the schema's lock") {
      try await server.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != "0"
    }
    #expect(try await ids(in: first) == [1])
    try snapshot.release()
    try await writer.value
    try await snapshot.copy(to: folder.file("copy"))
    await snapshot.end()
    #expect(try await ids(inCopy: folder.file("copy")) == [1])

    // One that ends by itself lets the others go too.
    let forgotten = try await first.hold(limit: .milliseconds(50))
    try await insert(3, second)
    #expect(throws: HoldExpired.self) { try forgotten.release() }
    await forgotten.end()
    await second.close()
    await first.close()
  }

  @Test(arguments: TestEngine.allCases) func oneHoldFollowsTheOther(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let database = try await open(store)
    let first = try await database.hold(limit: .seconds(60))
    let second = Task { try await database.hold(limit: .seconds(60)) }
    try await eventually("the second waits") { database.statistics.waitingWrites == 1 }
    try first.release()
    try await second.value.release()
    try await insert(1, database)
    await first.end()
    try await second.value.end()
    await database.close()
    #expect(await storageError { _ = try await database.hold(limit: .seconds(1)) } == .closed)
  }

  /// However large the database, what happens between hold and release does not grow with it: nothing is copied there.
  @Test func nothingIsCopiedWhileWritersWait() async throws {
    let (store, folder) = (try await TestStore(.sqlite), try TemporaryFolder("copy"))
    let database = try await open(store)
    let text = String(repeating: "0123456789", count: 10_000)
    for batch in 0..<10 {
      try await database.write { connection in
        for id in (batch * 100)..<(batch * 100 + 100) {
          try connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, "\(id) \(text)")
        }
      }
    }
    let snapshot = try await database.hold(limit: .seconds(60))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    try snapshot.release()
    // Written and answered before the copy begins, and not in it.
    try await insert(-1, database)
    try await snapshot.copy(to: folder.file("copy"))
    await snapshot.end()
    let size = try FileManager.default.attributesOfItem(atPath: folder.file("copy"))[.size] as? Int ?? 0
    #expect(size > 100_000_000)
    #expect(try await ids(inCopy: folder.file("copy")) == Array(0..<1000))
    await database.close()
  }

  @Test func aCopyIsOneFileForItsOwnerAlone() async throws {
    let (store, folder) = (try await TestStore(.sqlite), try TemporaryFolder("copy"))
    let database = try await open(store)
    try await insert(1, database)
    let snapshot = try await database.hold(limit: .seconds(60))
    try await snapshot.copy(to: folder.file("copy"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["copy"])
    let mode = try FileManager.default.attributesOfItem(atPath: folder.file("copy"))[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let again = await storageError { try await snapshot.copy(to: folder.file("copy")) }
    guard case .io = again else {
      Issue.record("a file that is there must not be overwritten: \(String(describing: again))")
      return
    }
    await snapshot.end()
    await database.close()
  }
}
