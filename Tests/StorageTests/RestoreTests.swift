import Dispatch
import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

/// Restoring is tested from a copy that a live database made.
@Suite(.timeLimit(.minutes(2))) struct RestoreTests {
  private let one = Migration(1, "one", sql: Outbox.schema + ";\n" + Outbox.schema2)
  private let two = Migration(2, "two", sql: "CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT NOT NULL);")
  private let three = Migration(
    3, "three",
    sql: "ALTER TABLE note ADD COLUMN size BIGINT NOT NULL DEFAULT 0; INSERT INTO note VALUES ('seed', '', 7);")

  /// A copy of a database with these migrations and a few rows.
  private func backup(
    _ migrations: [Migration], in folder: TemporaryFolder, _ engine: TestEngine = .sqlite
  ) async throws -> String {
    let store = try await TestStore(engine)
    let database = try await store.open(migrations)
    try await database.write { connection in
      for number in 1...3 {
        try Outbox.add(topic: "t", key: "k\(number)", payload: [1, 2, 0, UInt8(number)], in: connection)
      }
      try connection.execute("DELETE FROM outbox WHERE key = 'k3'")
      if migrations.count > 1 { try connection.execute("INSERT INTO note (id, text) VALUES ('a', 'ä\n€')") }
    }
    let snapshot = try await database.hold(limit: .seconds(60))
    let path = folder.file("backup-\(UUID().uuidString)")
    try await snapshot.copy(to: path)
    await snapshot.end()
    await database.close()
    return path
  }

  private func keys(_ database: Database) async throws -> [String] {
    try await database.read { try $0.rows("SELECT key FROM outbox ORDER BY id").map { try $0.text("key") } }
  }

  @Test(arguments: TestEngine.allCases, TestEngine.allCases)
  func bringsEverythingBack(_ source: TestEngine, _ target: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one, two], in: folder, source)
    let store = try await TestStore(target)
    try await Database.restore(store.location, from: path, migrations: [one, two])
    let database = try await store.open([one, two])
    #expect(try await keys(database) == ["k1", "k2"])
    let row = try await database.read { try $0.first("SELECT * FROM note") }
    #expect(try row?.text("text") == "ä\n€")
    let payload = try await database.read { try $0.first("SELECT payload FROM outbox ORDER BY id")?.blob("payload") }
    #expect(payload == [1, 2, 0, 1])
    // Numbers that were given out are not given out again.
    try await database.write { try Outbox.add(topic: "t", key: "k4", payload: [], in: $0) }
    let last = try await database.read { try $0.first("SELECT max(id) AS id FROM outbox")?.int("id") }
    #expect(last == 4)
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func appliesWhatTheBackupLacks(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one, two], in: folder)
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let store = try await TestStore(engine)
    try await Database.restore(store.location, from: path, migrations: [one, two, three])
    let database = try await store.open([one, two, three])
    let sizes = try await database.read { try $0.rows("SELECT size FROM note ORDER BY id").map { try $0.int("size") } }
    #expect(sizes == [0, 7])
    await database.close()
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before, "a backup is only read")
  }

  @Test(arguments: TestEngine.allCases) func refusesABackupOfANewerProgram(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one, two], in: folder)
    let store = try await TestStore(engine)
    let error = await storageError { try await Database.restore(store.location, from: path, migrations: [one]) }
    #expect(error == .schemaNewer(path: path, found: 2, known: 1))
    #expect("\(try #require(error))".contains("newer program"))
    // Nothing is left in the place, so that the right backup can follow.
    try await Database.restore(store.location, from: path, migrations: [one, two])
  }

  @Test(arguments: TestEngine.allCases) func refusesABackupOfAnotherDatabase(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let store = try await TestStore(engine)
    let other = Migration(1, "other", sql: "CREATE TABLE other (id TEXT);")
    let error = await storageError { try await Database.restore(store.location, from: path, migrations: [other]) }
    #expect(error == .migrationEdited(number: 1, name: "one"))
    try await Database.restore(store.location, from: path, migrations: [one])
  }

  @Test(arguments: TestEngine.allCases) func refusesAPlaceThatIsNotEmpty(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let store = try await TestStore(engine)
    let database = try await store.open([one])
    try await database.write { try Outbox.add(topic: "t", key: "mine", payload: [], in: $0) }
    if engine == .sqlite {
      let open = await storageError { try await Database.restore(store.location, from: path, migrations: [one]) }
      guard case .locked = open else {
        Issue.record("it is open: \(String(describing: open))")
        return
      }
    } else {
      await #expect(throws: InUse.self) {
        try await Database.restore(store.location, from: path, migrations: [one])
      }
    }
    await database.close()
    await #expect(throws: NotEmpty.self) {
      try await Database.restore(store.location, from: path, migrations: [one])
    }
    let again = try await store.open([one])
    #expect(try await keys(again) == ["mine"])
    await again.close()
  }

  @Test(arguments: TestEngine.allCases) func whatIsThereGoesAsideWhereThatIsWanted(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let store = try await TestStore(engine)
    let old = try await store.open([one])
    try await old.write { try Outbox.add(topic: "t", key: "old", payload: [], in: $0) }
    await old.close()
    // A restore that fails leaves it where it is.
    _ = await storageError { try await Database.restore(store.location, from: path, migrations: [two], replaces: true) }
    let still = try await store.open([one])
    #expect(try await keys(still) == ["old"])
    await still.close()

    try await Database.restore(store.location, from: path, migrations: [one], replaces: true)
    let new = try await store.open([one])
    #expect(try await keys(new) == ["k1", "k2"])
    await new.close()
    #expect(try await keysAside(store) == ["old"])
  }

  @Test func aSchemaThatIsInUseIsLeftAloneAlsoAfterItsConnectionsBroke() async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let store = try await TestStore(.postgres)
    let server = try await PostgresServer.shared()
    let name = "in use \(store.schema ?? "")"
    var options = DatabaseOptions()
    options.applicationName = name
    let database = try await store.open([one], options: options)
    try await database.write { try Outbox.add(topic: "t", key: "mine", payload: [], in: $0) }
    for round in 1...2 {
      let error = await #expect(throws: InUse.self) {
        try await Database.restore(store.location, from: path, migrations: [one], replaces: true)
      }
      #expect(error?.users == [name], "round \(round)")
      #expect(error?.description.hasSuffix("(schema \(store.schema ?? "")) is in use by \(name)") == true)
      guard round == 1 else { break }
      try await server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '\(name)'")
      try await eventually("writes again") {
        do {
          try await database.write { try $0.execute("UPDATE outbox SET key = 'still mine'") }
          return true
        } catch {
          return false
        }
      }
    }
    #expect(try await keys(database) == ["still mine"])
    await database.close()
    try await Database.restore(store.location, from: path, migrations: [one], replaces: true)
  }

  @Test func whoOpensWaitsForARestore() async throws {
    let store = try await TestStore(.postgres)
    let other = try await TestStore(.postgres)
    let restorer = try await other.open([one])
    var options = DatabaseOptions()
    options.startTimeout = .milliseconds(200)
    let gate = DispatchSemaphore(value: 0)
    let (taken, take) = AsyncStream.makeStream(of: Void.self)
    let lock = "SELECT pg_try_advisory_xact_lock(hashtextextended('\(store.schema ?? ""):open', 0)) AS taken"
    async let restoring: Void = restorer.read { connection in
      _ = try connection.first(lock)
      take.finish()
      gate.wait()
    }
    for await _ in taken {}
    let error = await storageError { _ = try await store.open([one], options: options) }
    guard case .unavailable(let reason) = error else {
      Issue.record("\(String(describing: error))")
      gate.signal()
      return
    }
    #expect(reason.hasSuffix("a backup is being restored into it"))
    async let opened = store.open([one])
    gate.signal()
    try await restoring
    await (try await opened).close()
    await restorer.close()
  }

  @Test(arguments: TestEngine.allCases) func nothingThatWentAsideIsOverwritten(_ engine: TestEngine) async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let store = try await TestStore(engine)
    // At least two of them in one second.
    for _ in 1...4 {
      try await Database.restore(store.location, from: path, migrations: [one], replaces: true)
    }
    switch store.location {
    case .sqlite(let path):
      let place = URL(fileURLWithPath: path).deletingLastPathComponent().path
      let aside = try FileManager.default.contentsOfDirectory(atPath: place).filter { $0.contains("_before_restore_") }
      #expect(aside.count == 3, "\(aside)")
    case .postgres(let address):
      let count = try await PostgresServer.shared().sql(
        "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\(address.schema)\\_before\\_restore%'")
      #expect(count == "3")
    }
  }

  /// What is in the database that was put aside.
  private func keysAside(_ store: TestStore) async throws -> [String] {
    switch store.location {
    case .sqlite(let path):
      let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      let name = try #require(names.first { $0.contains("_before_restore_") })
      let aside = try await Database.open(.sqlite(path: "\(folder)/\(name)"), migrations: [one])
      let found = try await keys(aside)
      await aside.close()
      return found
    case .postgres:
      let server = try await PostgresServer.shared()
      let schema = try #require(store.schema)
      let aside = try await server.sql(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE '\(schema)\\_before\\_restore%'")
      return try await server.sql("SELECT key FROM \"\(aside)\".outbox").split(separator: "\n").map(String.init)
    }
  }

  @Test func refusesDamagedBackupsWhereverTheyAreCut() async throws {
    var random = SeededRandom()
    let folder = try TemporaryFolder("restore")
    let whole = try Data(contentsOf: URL(fileURLWithPath: try await backup([one, two], in: folder)))
    let path = folder.file("damaged")
    for _ in 0..<20 {
      let size = Int.random(in: 0..<whole.count, using: &random)
      try whole.prefix(size).write(to: URL(fileURLWithPath: path))
      let store = try await TestStore(.sqlite)
      let error = await storageError { try await Database.restore(store.location, from: path, migrations: [one, two]) }
      switch error {
      case .corrupt, .cannotOpen: break
      default: Issue.record("cut to \(size) of \(whole.count) bytes: \(String(describing: error))")
      }
      guard case .sqlite(let place) = store.location else { continue }
      let left = try FileManager.default.contentsOfDirectory(
        atPath: URL(fileURLWithPath: place).deletingLastPathComponent().path)
      #expect(left == ["test.sqlite3.lock"], "cut to \(size) bytes")
    }
    try Data("not a database, but long enough to look like one at first sight".utf8)
      .write(to: URL(fileURLWithPath: path))
    let store = try await TestStore(.sqlite)
    let error = await storageError { try await Database.restore(store.location, from: path, migrations: [one]) }
    guard case .corrupt = error else {
      Issue.record("a text file: \(String(describing: error))")
      return
    }
    let missing = await storageError {
      try await Database.restore(store.location, from: folder.file("none"), migrations: [one])
    }
    guard case .io = missing else {
      Issue.record("no file: \(String(describing: missing))")
      return
    }
  }

  @Test func whatAKilledRestoreLeftIsCleared() async throws {
    let folder = try TemporaryFolder("restore")
    let path = try await backup([one], in: folder)
    let place = folder.file("place.sqlite3")
    for name in ["place.sqlite3.restoring", "place.sqlite3.restoring-wal", "place.sqlite3.restoring.lock"] {
      try Data("half".utf8).write(to: URL(fileURLWithPath: folder.file(name)))
    }
    try await Database.restore(.sqlite(path: place), from: path, migrations: [one])
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix("place") }
    #expect(left.sorted() == ["place.sqlite3", "place.sqlite3.lock"])
  }
}
