import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

/// What only a file can show.
@Suite struct SQLiteTests {
  @Test func closingMovesTheLogIntoTheFile() async throws {
    let fixture = try await Fixture(.sqlite)
    try await fixture.insert(1, "kept")
    await fixture.database.close()
    #expect(!FileManager.default.fileExists(atPath: fixture.path + "-wal"))
  }

  @Test func whatWasAnsweredIsInTheFilesAtOnce() async throws {
    let fixture = try await Fixture(.sqlite)
    try await fixture.insert(1, "answered")
    // As after a crash: the files as they are, without anything that closing would do.
    let copy = fixture.path + "-copy"
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: fixture.path + suffix, toPath: copy + suffix)
    }
    let crashed = try await Database.open(.sqlite(path: copy), migrations: Fixture.migrations)
    let names = try await crashed.read { try $0.rows("SELECT name FROM item").map { try $0.text("name") } }
    #expect(names == ["answered"])
    await crashed.close()
    await fixture.database.close()
  }

  @Test func settingsOfTheConnections() async throws {
    let fixture = try await Fixture(.sqlite)
    let wanted: [String: Value] = [
      "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0,
      "journal_size_limit": 67_108_864, "busy_timeout": 5000,
    ]
    for (name, value) in wanted {
      let found = try await fixture.database.write { connection in
        try connection.first("PRAGMA \(name)").flatMap { try $0.value($0.columnNames[0]) }
      }
      #expect(found == value, "\(name)")
    }
    let mode = try FileManager.default.attributesOfItem(atPath: fixture.path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    await fixture.database.close()
  }

  @Test func missingFoldersAreCreatedForTheirOwnerOnly() async throws {
    let folder = try TemporaryFolder()
    let database = try await Database.open(.sqlite(path: folder.file("a/b/c.sqlite3")), migrations: [])
    let mode = try FileManager.default.attributesOfItem(atPath: folder.file("a/b"))[.posixPermissions] as? Int
    #expect(mode == 0o700)
    await database.close()
  }

  @Test func aFullDiskIsNamedAndSurvived() async throws {
    let fixture = try await Fixture(.sqlite)
    let database = fixture.database
    try await fixture.insert(1, "before")
    try await database.write { connection in
      let pages = try connection.first("PRAGMA page_count")?.int("page_count") ?? 0
      _ = try connection.rows("PRAGMA max_page_count = \(pages + 4)")
    }
    let error = await storageError { try await fixture.insert(2, String(repeating: "x", count: 200_000)) }
    guard case .diskFull = error else {
      Issue.record("expected a full disk, got \(String(describing: error))")
      return
    }
    #expect(try await fixture.names() == ["before"])
    try await database.write { _ = try $0.rows("PRAGMA max_page_count = 1000000") }
    try await fixture.insert(3, String(repeating: "y", count: 200_000))
    #expect(try await fixture.names().count == 2)
    await database.close()
  }

  @Test func aFileOfSomethingElseIsRefused() async throws {
    let folder = try TemporaryFolder()
    let path = folder.file("picture.sqlite3")
    try Data(repeating: 0x5A, count: 8192).write(to: URL(fileURLWithPath: path))
    let error = await storageError { _ = try await Database.open(.sqlite(path: path), migrations: []) }
    guard case .corrupt = error else {
      Issue.record("expected a damaged file, got \(String(describing: error))")
      return
    }
    // The failed attempt left no lock behind.
    try FileManager.default.removeItem(atPath: path)
    let database = try await Database.open(.sqlite(path: path), migrations: [])
    await database.close()
  }
}
