import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@Suite struct LockTests {
  @Test func thisProcessCannotOpenItTwice() async throws {
    let fixture = try await Fixture(.sqlite)
    let error = await storageError {
      _ = try await Database.open(.sqlite(path: fixture.path), migrations: Fixture.migrations)
    }
    #expect(error == .locked(path: fixture.path, holder: getpid()))
    #expect("\(try #require(error))".contains("process \(getpid())"))
    try await fixture.insert(1, "the first one still writes")
    await fixture.database.close()
    let again = try await Database.open(.sqlite(path: fixture.path), migrations: Fixture.migrations)
    await again.close()
  }

  @Test func aSecondNameOfTheFolderIsTheSameLock() async throws {
    let fixture = try await Fixture(.sqlite)
    let folder = try TemporaryFolder()
    let link = folder.file("link")
    let target = URL(fileURLWithPath: fixture.path).deletingLastPathComponent().path
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
    let error = await storageError { _ = try await Database.open(.sqlite(path: link + "/test.sqlite3"), migrations: []) }
    guard case .locked = error else {
      Issue.record("expected a lock, got \(String(describing: error))")
      return
    }
    await fixture.database.close()
  }

  @Test func anotherProcessHoldsIt() async throws {
    let folder = try TemporaryFolder()
    let path = folder.file("shared.sqlite3")
    let holder = Process()
    holder.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
    holder.arguments = [path + ".lock", "sh", "-c", "echo locked; cat"]
    let input = Pipe()
    let output = Pipe()
    holder.standardInput = input
    holder.standardOutput = output
    try holder.run()
    #expect(output.fileHandleForReading.availableData == Data("locked\n".utf8))

    let error = await storageError { _ = try await Database.open(.sqlite(path: path), migrations: []) }
    #expect(error == .locked(path: path, holder: nil))
    #expect(!FileManager.default.fileExists(atPath: path))

    try input.fileHandleForWriting.close()
    holder.waitUntilExit()
    let database = try await Database.open(.sqlite(path: path), migrations: [])
    await database.close()
  }
}
