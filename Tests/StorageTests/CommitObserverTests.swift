import ServiceTestSupport
import Storage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct CommitObserverTests {
  @Test(arguments: TestEngine.allCases)
  func everyCommitIsToldWithItsWrites(_ engine: TestEngine) async throws {
    struct Refused: Error {}
    let store = try await TestStore(engine)
    let batches = Mutex<[Int]>([])
    var options = DatabaseOptions()
    options.onCommit = { writes in batches.withLock { $0.append(writes) } }
    let database = try await store.open(
      [Migration(1, "t", sql: "CREATE TABLE t (n BIGINT NOT NULL)")], options: options)
    #expect(batches.withLock { $0 }.isEmpty)
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          try? await database.write { connection in
            try connection.execute("INSERT INTO t (n) VALUES ($1)", number)
            if number % 10 == 0 { throw Refused() }
          }
        }
      }
    }
    let told = batches.withLock { $0 }
    // What was refused is not counted.
    #expect(told.reduce(0, +) == 180)
    #expect(told.count == database.statistics.commits && told.reduce(0, +) == database.statistics.writes)
    await database.close()
  }
}
