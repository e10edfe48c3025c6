import Crypto
import Foundation
import Messages
import RPC
import Storage
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

/// A database with the admin service over a real server, and a client of it.
private final class Admin: Sendable {
  static let migrations = [Migration(1, "item", sql: "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY);")]

  let folder: TemporaryFolder
  let database: Database
  let client: AdminClient
  private let server: Server
  private let connection: Client

  init(files: StateFiles? = nil) async throws {
    folder = try TemporaryFolder("admin")
    database = try await Database.open(.sqlite(path: folder.file("execution.sqlite3")), migrations: Self.migrations)
    var router = Router()
    let backups = StateBackup(name: .execution, database: database, files: files, folder: folder.path)
    router.register(AdminService(database: database, backups: backups))
    server = Server(router: router)
    let port = try await server.start(host: "127.0.0.1", port: 0).port
    connection = Client(host: "127.0.0.1", port: port)
    client = AdminClient(connection)
  }

  func insert(_ id: Int) async throws {
    try await database.write { _ = try $0.execute("INSERT INTO item (id) VALUES ($1)", id) }
  }

  func end() async {
    await connection.close()
    await server.shutdown(grace: .seconds(10))
    await database.close()
  }

  /// Asks for a backup and returns what came: files by path.
  func backup(limit: Duration? = nil, held: @Sendable () async throws -> Void = {}) async throws -> Received {
    try await client.backup(.timeout(.seconds(60))) { writer, parts in
      try await writer.write(Self.hold(limit))
      var (received, path, iterator) = (Received(), "", parts.makeAsyncIterator())
      while let part = try await iterator.next()?.part {
        switch part {
        case .held(let state):
          received.held = state
          try await held()
          try await writer.write(BackupRequest(command: .copy(CopyState())))
        case .file(let file):
          path = file.path
          received.files[path] = []
          received.sizes[path] = file.size
        case .chunk(let bytes): received.files[path]?.append(contentsOf: bytes)
        case .end(let end): received.digests[path] = end.sha256
        }
      }
      return received
    }
  }

  struct Received: Sendable {
    var held: WritesHeld?
    var files: [String: [UInt8]] = [:]
    var sizes: [String: UInt64] = [:]
    var digests: [String: String] = [:]
  }

  static func hold(_ limit: Duration?) -> BackupRequest {
    BackupRequest(command: .hold(HoldWrites(limit: limit.map { GoogleProtobufDuration($0) })))
  }

  /// What the service has left in its folder beyond its database.
  func leftovers() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.contains("backup") }
  }
}

/// The status a call ends with.
private func status(_ body: () async throws -> Void) async -> Status? {
  do {
    try await body()
    return nil
  } catch {
    return error as? Status
  }
}

@Suite(.timeLimit(.minutes(2))) struct StateBackupTests {
  @Test func sendsTheMomentThatWasHeldAndItsFiles() async throws {
    let content = [UInt8](repeating: 7, count: 600_000)
    let digest = SHA256.hash(data: content).hexadecimal
    let admin = try await Admin { connection in
      let count = try connection.rows("SELECT id FROM item").count
      return [StateFile(path: "files/\(count)", size: 600_000, sha256: digest)]
    }
    try FileManager.default.createDirectory(atPath: admin.folder.file("files"), withIntermediateDirectories: true)
    try Data(content).write(to: URL(fileURLWithPath: admin.folder.file("files/1")))
    try await admin.insert(1)
    let late = Mutex<Task<Void, any Error>?>(nil)
    let received = try await admin.backup {
      late.withLock { $0 = Task { try await admin.insert(2) } }
      try await eventually("the writer waits") { admin.database.statistics.waitingWrites == 1 }
    }
    try await late.withLock { $0 }?.value

    #expect(received.held == WritesHeld(service: "execution", schemaVersion: 1))
    #expect(received.files.keys.sorted() == ["database.sqlite3", "files/1"])
    #expect(received.files["files/1"] == content)
    for (path, bytes) in received.files {
      #expect(received.sizes[path] == UInt64(bytes.count))
      #expect(received.digests[path] == SHA256.hash(data: bytes).hexadecimal)
    }
    let path = admin.folder.file("received.sqlite3")
    try Data(received.files["database.sqlite3"] ?? []).write(to: URL(fileURLWithPath: path))
    let copy = try await Database.open(.sqlite(path: path), migrations: Admin.migrations)
    #expect(try await copy.read { try $0.rows("SELECT id FROM item").map { try $0.int("id") } } == [1])
    await copy.close()
    #expect(try admin.leftovers() == [])
    await admin.end()
  }

  @Test func aHoldThatLastsTooLongEndsByItself() async throws {
    let admin = try await Admin()
    let error = await status {
      _ = try await admin.client.backup(.timeout(.seconds(60))) { writer, parts in
        try await writer.write(Admin.hold(.milliseconds(50)))
        var iterator = parts.makeAsyncIterator()
        while try await iterator.next() != nil {}
      }
    }
    #expect(error?.code == .deadlineExceeded)
    try await admin.insert(1)
    // Copy after the limit: what is sent would not be of the common moment.
    let late = await status {
      _ = try await admin.backup(limit: .milliseconds(50)) {
        // Returns only when writing goes on.
        try await admin.insert(2)
      }
    }
    #expect(late?.code == .deadlineExceeded)
    #expect(try admin.leftovers() == [])
    await admin.end()
  }

  @Test func aCallerThatGoesAwayHoldsNothing() async throws {
    let admin = try await Admin()
    struct Gone: Error {}
    await #expect(throws: Gone.self) {
      _ = try await admin.backup(limit: .seconds(60)) { throw Gone() }
    }
    // The writer is free again long before the limit, or this would time out.
    try await admin.insert(1)
    try await eventually("another backup can begin") { (try? await admin.backup()) != nil }
    await admin.end()
  }

  @Test func oneBackupAtATime() async throws {
    let admin = try await Admin()
    _ = try await admin.backup {
      let second = await status { _ = try await admin.backup() }
      #expect(second?.code == .aborted)
      #expect(second?.message.contains("another backup") == true)
    }
    _ = try await admin.backup()
    await admin.end()
  }

  @Test(arguments: [Duration.zero, .seconds(61), .seconds(-1)])
  func limitsOutOfRangeAreRefused(_ limit: Duration) async throws {
    let admin = try await Admin()
    let error = await status { _ = try await admin.backup(limit: limit) }
    #expect(error?.code == .invalidArgument)
    await admin.end()
  }

  @Test func theOrderOfMessagesMatters() async throws {
    let admin = try await Admin()
    let copy = BackupRequest(command: .copy(CopyState()))
    for messages in [[copy], [Admin.hold(nil), Admin.hold(nil)], [BackupRequest()], []] {
      let error = await status {
        _ = try await admin.client.backup(.timeout(.seconds(60))) { writer, parts in
          for message in messages { try await writer.write(message) }
          if messages.count != 2 { writer.finish() }
          var iterator = parts.makeAsyncIterator()
          while try await iterator.next() != nil {}
        }
      }
      #expect(error?.code == .invalidArgument, "\(messages): \(String(describing: error))")
    }
    let ended = await status {
      _ = try await admin.client.backup(.timeout(.seconds(60))) { writer, parts in
        try await writer.write(Admin.hold(nil))
        writer.finish()
        var iterator = parts.makeAsyncIterator()
        while try await iterator.next() != nil {}
      }
    }
    #expect(ended?.code == .cancelled)
    try await admin.insert(1)
    await admin.end()
  }

  @Test(arguments: [nil, "something else"])
  func aFileThatIsNotWhatItShouldBeFailsTheBackup(_ content: String?) async throws {
    let wanted = SHA256.hash(data: Array("content".utf8)).hexadecimal
    let admin = try await Admin { _ in [StateFile(path: "file", size: 7, sha256: wanted)] }
    if let content { try Data(content.utf8).write(to: URL(fileURLWithPath: admin.folder.file("file"))) }
    let error = await status { _ = try await admin.backup() }
    #expect(error?.code == .dataLoss)
    #expect(error?.message.contains("file") == true)
    #expect(try admin.leftovers() == [])
    await admin.end()
  }

  @Test(arguments: [
    "", "/", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "a\nb", "a\u{0}b",
    String(repeating: "x", count: 1025),
  ])
  func unsafePathsAreKnown(_ path: String) { #expect(!BackupPath.isSafe(path)) }

  @Test(arguments: ["a", "database.sqlite3", "artifacts/ab/abcd", "..a/b..", "ä/😀"])
  func plainPathsAreFine(_ path: String) { #expect(BackupPath.isSafe(path)) }
}
