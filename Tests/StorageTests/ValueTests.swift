import Foundation
import ServiceTestSupport
import Storage
import Testing

@Suite struct ValueTests {
  private static let values: [Value] = [
    .null, .integer(0), .integer(.min), .integer(.max), .integer(-1), .real(0), .real(-1.5), .real(.infinity),
    .real(.leastNonzeroMagnitude), .real(.greatestFiniteMagnitude), .text(""), .text("it's \"quoted\" $1 ?"),
    .text("naïve 🦊 e\u{301} 中文"), .text(String(repeating: "x", count: 100_000)), .blob([]), .blob([0, 1, 255, 0]),
    .blob([UInt8](repeating: 7, count: 100_000)),
  ]

  private static func column(of value: Value) -> String {
    switch value {
    case .integer: "i"
    case .real: "r"
    case .blob: "b"
    case .text, .null: "t"
    }
  }

  @Test(arguments: TestEngine.allCases) func everyKindComesBackUnchanged(_ engine: TestEngine) async throws {
    // The column of a kind; NULL in each.
    let columns = ["i BIGINT", "r DOUBLE PRECISION", "t TEXT", "b BLOB"].joined(separator: ", ")
    let fixture = try await Fixture(
      engine, [Migration(1, "any", sql: "CREATE TABLE any_value (id INTEGER PRIMARY KEY, kind TEXT, \(columns))")])
    for (id, value) in Self.values.enumerated() {
      try await fixture.database.write { connection in
        let column = Self.column(of: value)
        try connection.execute(
          "INSERT INTO any_value (id, kind, \(column)) VALUES ($1, $2, $3)", id, column, value)
      }
    }
    let found = try await fixture.database.read { connection in
      try connection.rows("SELECT kind, i, r, t, b FROM any_value ORDER BY id").map { try $0.value($0.text("kind")) }
    }
    #expect(found == Self.values)
    await fixture.database.close()
  }

  @Test func conversionsOfSwiftTypes() throws {
    #expect(try Optional<String>.none.databaseValue == .null)
    #expect(try Optional(3).databaseValue == .integer(3))
    #expect(try UInt64(Int64.max).databaseValue == .integer(.max))
    #expect(try Date(timeIntervalSince1970: 1.000001).databaseValue == .integer(1_000_001))
    #expect(throws: StorageError.self) { try (UInt64(Int64.max) + 1).databaseValue }
    #expect(throws: StorageError.self) { try Date(timeIntervalSince1970: .infinity).databaseValue }
  }

  @Test(arguments: TestEngine.allCases, [Value.real(.nan), .text("a\0b")])
  func whatCannotComeBackIsRefused(_ engine: TestEngine, _ value: Value) async throws {
    let fixture = try await Fixture(engine)
    let error = await storageError {
      try await fixture.database.read { _ = try $0.rows("SELECT $1 AS v", value) }
    }
    guard case .value = error else {
      Issue.record("expected a value error, got \(String(describing: error))")
      return
    }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func typedColumns(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let now = Date(timeIntervalSince1970: 1_700_000_000.123456)
    let row = try #require(
      try await fixture.database.read { connection in
        try connection.first(
          "SELECT $1 AS i, $2 AS r, $3 AS t, $4 AS b, $5 AS yes, $6 AS at, NULL AS absent, 2 AS whole", 42, 1.5, "x",
          [UInt8]([1, 2]), true, now)
      })
    #expect(try row.int("i") == 42)
    #expect(try row.real("r") == 1.5)
    #expect(try row.real("whole") == 2)
    #expect(try row.text("t") == "x")
    #expect(try row.blob("b") == [1, 2])
    #expect(try row.bool("yes"))
    #expect(try abs(row.date("at").timeIntervalSince(now)) < 0.000_001)
    #expect(try row.textOrNil("absent") == nil)
    #expect(throws: StorageError.column("absent", "is null")) { try row.text("absent") }
    #expect(throws: StorageError.column("t", "is a text, not an integer")) { try row.int64("t") }
    #expect(throws: StorageError.column("i", "is an integer, not a boolean (0 or 1)")) { try row.bool("i") }
    #expect(throws: StorageError.self) { try row.int("unknown") }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func parametersMayRepeatAndStandInAnyOrder(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let row = try await fixture.database.read { connection in
      try connection.first("SELECT $2 || $1 || $2 AS t, '$1 ?' AS q -- $3 ?\n", "a", "b")
    }
    #expect(try row?.text("t") == "bab")
    #expect(try row?.text("q") == "$1 ?")
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases, [
    "SELEC 1", "SELECT ?", "SELECT $1, $2, $3", "SELECT $1", "SET x = $1", "START TRANSACTION", "COMMIT",
    "/* x */ rollback", "SELECT 1; SELECT 2", "SELECT $x", "SELECT * FROM missing",
  ])
  func wrongStatements(_ engine: TestEngine, _ sql: String) async throws {
    let fixture = try await Fixture(engine)
    let error = await storageError { try await fixture.database.write { _ = try $0.rows(sql, 1, 2) } }
    guard case .sql = error else {
      Issue.record("expected a statement error, got \(String(describing: error))")
      return
    }
    try await fixture.insert(1, "still works")
    await fixture.database.close()
  }
}
