import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

/// Files that cannot be used: each is refused with an error that says why, and left as it is.
@Suite struct FaultsBadFileTests {
  /// A closed database of many pages in a folder of its own.
  private func makeDatabase(_ folder: TemporaryFolder) async throws -> URL {
    let path = folder.file("test.sqlite3")
    let database = try await Database.open(.sqlite(path: path), migrations: Pairs.migrations)
    let pairs = Pairs()
    for _ in 0..<20 { #expect(await pairs.writeTogether(16, database) == []) }
    await database.close()
    return URL(fileURLWithPath: path)
  }

  private func open(_ file: URL, _ migrations: [Migration] = Pairs.migrations) async -> StorageError? {
    await storageError { await (try Database.open(.sqlite(path: file.path), migrations: migrations)).close() }
  }

  private func names(_ folder: TemporaryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  private func setPermissions(_ path: String, _ permissions: Int) throws {
    try FileManager.default.setAttributes([.posixPermissions: permissions], ofItemAtPath: path)
  }

  @Test func aReadOnlyFolder() async throws {
    let folder = try TemporaryFolder("faults")
    try setPermissions(folder.path, 0o555)
    let file = URL(fileURLWithPath: folder.file("test.sqlite3"))
    let error = try await withoutPrivileges { await open(file) }
    guard case .cannotOpen(_, let reason) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(reason.contains("Permission denied"))
    #expect(try names(folder) == [])
  }

  @Test func aReadOnlyFile() async throws {
    let folder = try TemporaryFolder("faults")
    let file = try await makeDatabase(folder)
    let before = (try Data(contentsOf: file), try names(folder))
    try setPermissions(file.path, 0o444)
    let error = try await withoutPrivileges { await open(file) }
    guard case .readOnly(let detail) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(detail.contains(file.lastPathComponent))
    #expect(try Data(contentsOf: file) == before.0)
    #expect(try names(folder) == before.1)
    try setPermissions(file.path, 0o600)
    #expect(await open(file) == nil)
  }

  /// The files may be written, but no log beside them.
  @Test func aFileInAReadOnlyFolder() async throws {
    let folder = try TemporaryFolder("faults")
    let file = try await makeDatabase(folder)
    let before = (try Data(contentsOf: file), try names(folder))
    try setPermissions(folder.path, 0o555)
    let error = try await withoutPrivileges { await open(file) }
    try setPermissions(folder.path, 0o700)
    switch error {
    case .cannotOpen, .readOnly: break
    default: Issue.record("got \(String(describing: error))")
    }
    #expect(try Data(contentsOf: file) == before.0)
    #expect(try names(folder) == before.1)
    #expect(await open(file) == nil)
  }

  @Test(arguments: ["header", "second half", "nearly all"])
  func aDamagedFile(_ what: String) async throws {
    let folder = try TemporaryFolder("faults")
    let file = try await makeDatabase(folder)
    var bytes = try Data(contentsOf: file)
    switch what {
    case "header": for index in 0..<24 { bytes[index] ^= 0xA5 }
    case "second half": bytes = bytes.dropLast(bytes.count / 2 / 4096 * 4096)
    default: bytes = bytes.prefix(100)
    }
    try bytes.write(to: file)
    let error = await open(file)
    guard case .corrupt(let detail) = error else {
      Issue.record("\(what): got \(String(describing: error))")
      return
    }
    #expect(detail.contains(file.path))
    #expect(try Data(contentsOf: file) == bytes)
  }

  /// SQLite looks at a page only when it needs it: what touches a damaged one fails, and says so.
  @Test func aDamagedPage() async throws {
    var random = SeededRandom()
    let folder = try TemporaryFolder("faults")
    let file = try await makeDatabase(folder)
    var bytes = try Data(contentsOf: file)
    // Behind the pages that hold the schema and the roots.
    for page in 8..<(bytes.count / 4096) {
      for index in 0..<16 { bytes[page * 4096 + index] ^= UInt8.random(in: 1...255, using: &random) }
    }
    try bytes.write(to: file)
    let database = try await Database.open(.sqlite(path: file.path), migrations: Pairs.migrations)
    let read = await storageError { _ = try await database.read { try $0.rows("SELECT payload FROM pair") } }
    let written = await storageError { try await database.write { _ = try $0.execute("DELETE FROM pair") } }
    await database.close()
    for error in [read, written] {
      guard case .corrupt = error else {
        Issue.record("got \(String(describing: error))")
        continue
      }
      #expect(error.map { "\($0)" }?.hasPrefix("the database is damaged: ") == true)
    }
    #expect(try Data(contentsOf: file) == bytes)
  }

  @Test func aNewerSchema() async throws {
    let folder = try TemporaryFolder("faults")
    let file = try await makeDatabase(folder)
    let newer = Pairs.migrations + [Migration(2, "more", sql: "CREATE TABLE more (id INTEGER)")]
    #expect(await open(file, newer) == nil)
    let before = (try Data(contentsOf: file), try names(folder))
    #expect(await open(file) == .schemaNewer(path: file.path, found: 2, known: 1))
    #expect(try Data(contentsOf: file) == before.0)
    #expect(try names(folder) == before.1)
  }

  /// A service has it open: the error names its process.
  @Test func anotherServiceHasItOpen() async throws {
    let folder = try TemporaryFolder("faults")
    let service = try ServiceProcess("buddy-learning", ["--port", "0", "--data", folder.path], in: folder)
    _ = try await service.port()
    let name = try #require(try names(folder).first { $0.hasSuffix(".sqlite3") })
    let error = await open(URL(fileURLWithPath: folder.file(name)))
    #expect(error == .locked(path: folder.file(name), holder: service.id))
    #expect(service.isRunning)
  }

  /// A program that pays no heed to our lock file keeps SQLite's own lock for longer than a write waits.
  @Test func anotherProgramHoldsItsLock() async throws {
    let folder = try TemporaryFolder("faults")
    let path = folder.file("test.sqlite3")
    let database = try await Database.open(
      .sqlite(path: path), migrations: Pairs.migrations, options: .init(readers: 1, busyTimeout: .milliseconds(50)))
    let script = """
      import sqlite3, sys
      other = sqlite3.connect(sys.argv[1], isolation_level=None)
      other.execute("BEGIN IMMEDIATE")
      print("locked", flush=True)
      sys.stdin.read()
      """
    let holder = Process()
    holder.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    holder.arguments = ["python3", "-c", script, path]
    let (input, output) = (Pipe(), Pipe())
    holder.standardInput = input
    holder.standardOutput = output
    try holder.run()
    #expect(try output.fileHandleForReading.read(upToCount: 7) == Data("locked\n".utf8))

    let pairs = Pairs()
    let error = await pairs.write(database)
    guard case .busy(let detail) = error else {
      Issue.record("got \(String(describing: error))")
      return
    }
    #expect(detail.contains("locked"))
    try input.fileHandleForWriting.close()
    holder.waitUntilExit()
    #expect(await pairs.write(database) == nil)
    try await pairs.check(database, strictly: true)
    await database.close()
  }
}
