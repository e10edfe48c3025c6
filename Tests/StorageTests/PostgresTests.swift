import Foundation
import ServiceTestSupport
import Storage
import Testing

/// What only a server can show.
@Suite struct PostgresTests {
  @Test(arguments: [
    "postgres://eva:s3cret@db.example:6000/buddy?sslmode=verify-full",
    "postgresql://eva@db.example:6000/buddy?sslmode=verify-full&password=s3cret",
    "postgres://db.example:6000/buddy?user=eva&sslmode=verify-full&password=s3cret&sslpassword=s3cret",
  ])
  func aURLIsShownWithoutItsPassword(_ url: String) throws {
    let address = try PostgresAddress(url, schema: "buddy_test")
    #expect(address.url == "postgres://eva@db.example:6000/buddy?sslmode=verify-full")
    var dumped = ""
    dump(DatabaseLocation.postgres(address), to: &dumped)
    for text in ["\(address)", String(reflecting: address), dumped, "\(DatabaseLocation.postgres(address))"] {
      #expect(!text.contains("s3cret"), "\(text)")
    }
  }

  @Test func socketsAndSeveralHosts() throws {
    let socket = try PostgresAddress("postgres://eva@/buddy?host=/run/postgresql&port=5433", schema: "a")
    #expect(socket.url == "postgres://eva@/buddy?host=/run/postgresql&port=5433")
    let several = try PostgresAddress("postgres://eva@one:1,two:2/buddy", schema: "a")
    #expect(several.url == "postgres://eva@/buddy?host=one,two&port=1,2")
    #expect(try PostgresAddress("postgres://[::1]:7/b", schema: "a").url == "postgres://[::1]:7/b")
  }

  @Test(arguments: [
    "", "mysql://a/b", "/var/lib/buddy", "postgres://eva:s3cret@host/db?nonsense=1", "postgres://eva:s3cret%zz@host/db",
    "postgres://eva:s3cret@[::1/db", "postgres://eva:s3cret@host/db?sslmode", "postgres://eva:s3cret@host:x%/db",
  ])
  func whatIsNoURLIsRefusedWithoutSayingThePassword(_ url: String) {
    let error = #expect(throws: StorageError.self) { try PostgresAddress(url, schema: "a") }
    #expect(!"\(String(describing: error))".contains("s3cret") && !"\(String(describing: error))".contains("cret"))
  }

  @Test(arguments: ["", "Upper", "a-b", "a\"b", String(repeating: "a", count: 41), "1a"])
  func schemaNames(_ name: String) {
    #expect(throws: StorageError.self) { try PostgresAddress("postgres://h/d", schema: name) }
  }

  @Test func aSlashInThePasswordIsRefusedWithoutShowingIt() {
    let error = #expect(throws: StorageError.self) {
      try PostgresAddress("postgres://bud:12/34SECRET@db.example/bud", schema: "s")
    }
    #expect(error.map { "\($0)" }?.contains("%2F") == true && error.map { "\($0)" }?.contains("SECRET") == false)
    #expect(throws: Never.self) { try PostgresAddress("postgres://bud:12%2F34@db.example/bud", schema: "s") }
  }

  @Test func settingsOfTheConnections() async throws {
    let fixture = try await Fixture(.postgres, options: DatabaseOptions(applicationName: "named"))
    let wanted = [
      "search_path": fixture.store.schema ?? "", "statement_timeout": "30s", "lock_timeout": "5s",
      "idle_in_transaction_session_timeout": "2s", "client_encoding": "UTF8", "application_name": "named",
      "transaction_isolation": "read committed", "synchronous_commit": "on",
    ]
    for (name, value) in wanted {
      let found = try await fixture.database.write { try $0.first("SELECT current_setting($1) AS v", name) }
      #expect(try found?.text("v") == value, "\(name)")
    }
    let isolation = try await fixture.database.read { connection in
      try connection.first(
        "SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r")
    }
    #expect(try isolation?.text("i") == "repeatable read")
    #expect(try isolation?.text("r") == "on")
    await fixture.database.close()
  }

  @Test func aReadStaysAtOneState() async throws {
    let fixture = try await Fixture(.postgres)
    try await fixture.insert(1, "one")
    let gate = DispatchSemaphore(value: 0)
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    async let counts = fixture.database.read { connection in
      let before = try connection.rows("SELECT id FROM item").count
      start.finish()
      gate.wait()
      return [before, try connection.rows("SELECT id FROM item").count]
    }
    for await _ in started {}
    try await fixture.insert(2, "two")
    gate.signal()
    #expect(try await counts == [1, 1])
    #expect(try await fixture.names().count == 2)
    await fixture.database.close()
  }

  @Test func aStatementThatTakesTooLongIsEnded() async throws {
    let fixture = try await Fixture(.postgres, options: DatabaseOptions(statementTimeout: .milliseconds(100)))
    let writing = await storageError { try await fixture.database.write { _ = try $0.rows("SELECT pg_sleep(60)") } }
    let reading = await storageError { try await fixture.database.read { _ = try $0.rows("SELECT pg_sleep(60)") } }
    for error in [writing, reading] {
      guard case .busy = error else {
        Issue.record("got \(String(describing: error))")
        continue
      }
    }
    try await fixture.insert(1, "still works")
    await fixture.database.close()
  }

  /// What another process changes in a table must not break statements that were prepared before.
  @Test func aTableThatChangesUnderAStatement() async throws {
    let fixture = try await Fixture(.postgres)
    try await fixture.insert(1, "one")
    func columns() async throws -> Int? {
      try await fixture.database.write { try $0.first("SELECT * FROM item")?.columnNames.count }
    }
    #expect(try await columns() == 2)
    let schema = try #require(fixture.store.schema)
    try await PostgresServer.shared().sql("ALTER TABLE \(schema).item ADD COLUMN more BIGINT")
    _ = await storageError { _ = try await columns() }
    #expect(try await columns() == 3)
    await fixture.database.close()
  }

  @Test func migrationsAreTranslatedOutsideOfTextsAndComments() async throws {
    let sql = """
      -- INTEGER TEXT BLOB; it's a comment
      CREATE TABLE doc (
        id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL DEFAULT 'TEXT BLOB it''s', body BLOB,
        n INTEGER /* INTEGER PRIMARY KEY */ NOT NULL DEFAULT 3000000000, "TEXT" TEXT COLLATE "C",
        CHECK (CAST(n AS TEXT) <> '')
      );
      CREATE INDEX doc_by_owner ON doc (owner);
      """
    let fixture = try await Fixture(.postgres, [Migration(1, "doc", sql: sql)])
    let row = try await fixture.database.write { connection in
      try connection.execute("INSERT INTO doc (body) VALUES ($1)", [UInt8]([0, 255]))
      return try connection.first("INSERT INTO doc (body) VALUES (NULL) RETURNING *")
    }
    #expect(try row?.int("id") == 2)
    #expect(try row?.text("owner") == "TEXT BLOB it's")
    #expect(try row?.int("n") == 3_000_000_000)
    let types = try await fixture.database.read { connection in
      try connection.rows(
        """
        SELECT column_name AS name, data_type AS type, collation_name AS collation FROM information_schema.columns
        WHERE table_schema = $1 AND table_name = 'doc' ORDER BY ordinal_position
        """, fixture.store.schema
      ).map { "\(try $0.text("name")) \(try $0.text("type")) \(try $0.textOrNil("collation") ?? "")" }
    }
    #expect(types == ["id bigint ", "owner text C", "body bytea ", "n bigint ", "TEXT text C"])
    await fixture.database.close()
  }

  @Test func processesThatStartTogetherMigrateOnce() async throws {
    let store = try await TestStore(.postgres)
    let migrations = Fixture.migrations + [
      Migration(2, "fill", sql: "INSERT INTO item (id, name) VALUES (1, 'once')"),
      Migration(3, "more", sql: "ALTER TABLE item ADD COLUMN more TEXT"),
    ]
    let databases = try await withThrowingTaskGroup(of: Database.self) { group in
      for _ in 0..<6 { group.addTask { try await store.open(migrations) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(databases.count == 6)
    #expect(try await databases[0].names() == ["once"])
    for database in databases { await database.close() }
  }
}
