import Foundation
import ServiceTestSupport
import Storage
import Testing

/// What both engines promise.
@Suite struct DatabaseTests {
  @Test(arguments: TestEngine.allCases) func reopeningFindsEverything(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.insert(1, "kept")
    await fixture.database.close()
    let again = try await fixture.store.open(Fixture.migrations)
    let name = try await again.read { try $0.first("SELECT name FROM item")?.text("name") }
    #expect(name == "kept")
    await again.close()
  }

  @Test(arguments: TestEngine.allCases)
  func closingFinishesWhatWaitsAndRefusesTheRest(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let results = await withTaskGroup(of: StorageError?.self) { group in
      for id in 1...50 { group.addTask { await storageError { try await fixture.insert(id, "n\(id)") } } }
      await fixture.database.close()
      return await group.reduce(into: []) { $0.append($1) }
    }
    await fixture.database.close()
    #expect(await storageError { try await fixture.insert(99, "late") } == .closed)
    #expect(await storageError { _ = try await fixture.names() } == .closed)
    let again = try await fixture.store.open(Fixture.migrations)
    let count = try await again.read { try $0.rows("SELECT id FROM item").count }
    #expect(count == results.count { $0 == nil })
    #expect(results.allSatisfy { $0 == nil || $0 == .closed })
    await again.close()
  }

  @Test(arguments: TestEngine.allCases) func aReaderCannotWrite(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let error = await storageError {
      try await fixture.database.read { _ = try $0.rows("INSERT INTO item (id, name) VALUES (1, 'x') RETURNING id") }
    }
    guard case .readOnly = error else {
      Issue.record("expected a read-only error, got \(String(describing: error))")
      return
    }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func constraintsAreNamed(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.insert(1, "one")
    let unique = await storageError { try await fixture.insert(2, "one") }
    let primary = await storageError { try await fixture.insert(1, "two") }
    let missing = await storageError {
      try await fixture.database.write { _ = try $0.execute("INSERT INTO item (id, name) VALUES (3, $1)", Value.null) }
    }
    guard case .constraint(.unique, let message) = unique, case .constraint(.primaryKey, _) = primary,
      case .constraint(.notNull, _) = missing
    else {
      Issue.record("got \(String(describing: [unique, primary, missing]))")
      return
    }
    #expect(message.contains("name"))
    #expect(try await fixture.names() == ["one"])
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func changesAreCounted(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.insert(1, "a")
    try await fixture.insert(2, "b")
    let counts = try await fixture.database.write { connection in
      try [
        connection.execute("UPDATE item SET name = name || '!'"),
        connection.execute("UPDATE item SET name = 'x' WHERE id = 77"),
        connection.execute("CREATE TABLE other (id INTEGER)"),
        connection.rows("DELETE FROM item RETURNING id").count,
      ]
    }
    #expect(counts == [2, 0, 0, 2])
    await fixture.database.close()
  }

  /// Bytewise, whatever the server's language: pages that go on after a text rely on it.
  @Test(arguments: TestEngine.allCases) func textsSortBytewise(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let names = ["a", "B", "é", "Z", "_", "ab", "A", "10", "9", "e", "a-c", "aB", "中"]
    for (id, name) in names.enumerated() { try await fixture.insert(id, name) }
    let sorted = names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    let (found, after, greatest) = try await fixture.database.read { connection in
      let all = try connection.rows("SELECT name FROM item ORDER BY name").map { try $0.text("name") }
      let after = try connection.rows("SELECT name FROM item WHERE name > $1 ORDER BY name", "a")
      return (all, try after.map { try $0.text("name") }, try connection.first("SELECT max(name) AS m FROM item"))
    }
    #expect(found == sorted)
    #expect(after == Array(sorted.drop { $0 != "a" }.dropFirst()))
    #expect(try greatest?.text("m") == "中")
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func sumsAndMeansAreNumbers(_ engine: TestEngine) async throws {
    let table = Migration(1, "n", sql: "CREATE TABLE n (i BIGINT NOT NULL, r DOUBLE PRECISION NOT NULL)")
    let fixture = try await Fixture(engine, [table])
    let row = try await fixture.database.write { connection in
      for number in [1, 2, 40_000, -7] { try connection.execute("INSERT INTO n VALUES ($1, $2)", number, 0.25) }
      return try connection.first(
        """
        SELECT sum(i) AS i, avg(i) AS mean, sum(r) AS r, count(*) AS count, max(i) AS max, coalesce(sum(i), 0) AS c,
          1 AS one, i > 5 AS great FROM (SELECT * FROM n) AS t GROUP BY i > 5 ORDER BY count DESC
        """)
    }
    #expect(try row?.int("i") == -4)
    #expect(try abs((row?.real("mean") ?? 0) + 4.0 / 3) < 1e-9)
    #expect(try row?.real("r") == 0.75)
    #expect(try row?.int("count") == 3)
    #expect(try row?.int("max") == 2)
    #expect(try row?.int("c") == -4)
    #expect(try row?.int("one") == 1)
    #expect(try row?.bool("great") == false)
    await fixture.database.close()
  }

  /// A closure that swallows an error would else commit what came before it.
  @Test(arguments: TestEngine.allCases) func anErrorThatIsKeptQuietStillUndoes(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    try await fixture.insert(1, "one")
    let error = await storageError {
      try await fixture.database.write { connection in
        try connection.execute("INSERT INTO item (id, name) VALUES (2, 'two')")
        _ = try? connection.execute("INSERT INTO item (id, name) VALUES (1, 'again')")
      }
    }
    let later = await storageError {
      try await fixture.database.write { connection in
        _ = try? connection.execute("INSERT INTO item (id, name) VALUES (1, 'again')")
        _ = try connection.execute("INSERT INTO item (id, name) VALUES (3, 'three')")
      }
    }
    for error in [error, later] {
      guard case .sql = error else {
        Issue.record("got \(String(describing: error))")
        continue
      }
    }
    #expect(try await fixture.names() == ["one"])
    try await fixture.insert(4, "four")
    #expect(try await fixture.names() == ["one", "four"])
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func theDatabaseTellsTheTime(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let times = try await fixture.database.write { connection in [try connection.now(), try connection.now()] }
    #expect(abs(times[0].timeIntervalSinceNow) < 60)
    #expect(times[0] <= times[1])
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func manyDifferentTexts(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    for round in 0..<3 {
      try await fixture.database.write { connection in
        for number in 0..<400 {
          let row = try connection.first("SELECT \(round * 200 + number) AS n, $1 AS t", "x")
          #expect(try row?.int("n") == round * 200 + number)
        }
      }
    }
    await fixture.database.close()
  }
}
