import ArgumentParser
import Foundation
import Messages
import RPC
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

/// All stateful services, well behaved but for those given.
private func peers(_ others: [ServiceName: PeerAdmin] = [:]) -> [ServiceName: PeerAdmin] {
  ServiceFleet.stateful.reduce(into: others) { all, name in
    if all[name] == nil { all[name] = PeerAdmin(name) }
  }
}

/// How many services were held, and how many of them when each was asked to copy.
private final class Noted: Sendable {
  private let counts = Mutex((held: 0, copied: [Int]()))

  var heldBeforeEachCopy: [Int] { counts.withLock { $0.copied } }

  func held() { counts.withLock { $0.held += 1 } }

  func copied() { counts.withLock { $0.copied.append($0.held) } }
}

/// Makes a backup of these services into `<folder>/saved`.
private func backUp(
  _ peers: [ServiceName: PeerAdmin], _ folder: TemporaryFolder, limit: Duration = .seconds(30)
) async throws -> BackupManifest {
  try await PeerAdmin.serving(peers) { addresses in
    try await InstallationBackup(addresses: addresses, holdLimit: limit) { _ in }.run(into: folder.file("saved"))
  }
}

private func names(_ folder: TemporaryFolder) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
}

/// The command's error of a body that must fail.
private func failure(_ body: () async throws -> Void) async -> CommandError? {
  do {
    try await body()
    Issue.record("it was to fail")
    return nil
  } catch {
    return error as? CommandError
  }
}

@Suite("`buddy backup`", .timeLimit(.minutes(2)))
struct BackupTests {
  @Test("writes every service's files and a manifest, and nothing else")
  func whole() async throws {
    let folder = try TemporaryFolder("backup")
    let made = try await backUp(peers(), folder)
    #expect(try names(folder) == ["saved"])
    let stored = try await StoredBackup.verified(folder.file("saved"))
    #expect(stored.manifest == made)
    #expect(made.services.keys.sorted() == ServiceFleet.stateful.map(\.rawValue).sorted())
    #expect(made.services["execution"]?.schema == 3)
    #expect(try String(contentsOfFile: folder.file("saved/learning/database.sqlite3"), encoding: .utf8) == "hello")
    let entries = try FileManager.default.contentsOfDirectory(atPath: folder.file("saved")).sorted()
    #expect(entries == (ServiceFleet.stateful.map(\.rawValue) + ["manifest.json"]).sorted())
    let mode = try FileManager.default.attributesOfItem(atPath: folder.file("saved"))[.posixPermissions] as? Int
    #expect(mode == 0o700)
  }

  @Test("no service is asked to copy before all are held")
  func allAreHeldFirst() async throws {
    let folder = try TemporaryFolder("backup")
    let noted = Noted()
    let scripts = ServiceFleet.stateful.reduce(into: [ServiceName: PeerAdmin]()) { all, name in
      all[name] = PeerAdmin { requests, responses in
        var iterator = requests.makeAsyncIterator()
        _ = try await iterator.next()
        noted.held()
        try await responses.write(BackupPart(part: .held(WritesHeld(service: name.rawValue, schemaVersion: 1))))
        _ = try await iterator.next()
        noted.copied()
        for part in PeerAdmin.database { try await responses.write(BackupPart(part: part)) }
      }
    }
    _ = try await backUp(scripts, folder)
    let count = ServiceFleet.stateful.count
    #expect(noted.heldBeforeEachCopy == Array(repeating: count, count: count))
  }

  /// What a service can send that is not a backup, and what is said about it.
  static let bad: [(parts: [BackupPart.Part], held: BackupPart.Part?, says: String)] = [
    ([.file(BackupFile(path: "../evil", size: 0))], nil, "does not stay in its folder"),
    ([.file(BackupFile(path: "/tmp/evil", size: 0))], nil, "does not stay in its folder"),
    (PeerAdmin.database.dropLast() + [.end(BackupFileEnd(sha256: "00"))], nil, "did not arrive as it was sent"),
    (Array(PeerAdmin.database.prefix(2)) + PeerAdmin.database.suffix(1), nil, "did not arrive as it was sent"),
    ([.file(BackupFile(path: "database.sqlite3", size: 1)), .chunk([1, 2])], nil, "longer than announced"),
    (Array(PeerAdmin.database.dropLast()), nil, "ended in the middle"),
    ([.chunk([1])], nil, "a file was to come"),
    ([], nil, "no database.sqlite3 came"),
    (PeerAdmin.database + PeerAdmin.database, nil, "cannot create"),
    (PeerAdmin.database, .held(WritesHeld(service: "progress", schemaVersion: 1)), "there answers the service"),
    (PeerAdmin.database, .chunk([]), "it was not held"),
  ]

  @Test("what is not a backup is an error that leaves nothing behind", arguments: bad.indices)
  func notABackup(_ index: Int) async throws {
    let (parts, held, says) = Self.bad[index]
    let folder = try TemporaryFolder("backup")
    let error = await failure {
      _ = try await backUp(peers([.learning: PeerAdmin(.learning, parts, held: held)]), folder)
    }
    #expect(error?.message.contains(says) == true, "\(String(describing: error))")
    #expect(try names(folder) == [])
    #expect(!FileManager.default.fileExists(atPath: "/tmp/evil"))
  }

  @Test("a service that is down is named, and the others are let go")
  func down() async throws {
    let folder = try TemporaryFolder("backup")
    var all = peers()
    all[.progress] = nil
    let others = all
    try await PeerAdmin.serving(all) { addresses in
      var addresses = addresses
      addresses[.progress] = PeerAddress(host: "127.0.0.1", port: 1)
      let backup = InstallationBackup(addresses: addresses, holdLimit: .seconds(30)) { _ in }
      let error = await failure { _ = try await backup.run(into: folder.file("saved")) }
      #expect(error?.exit == .unavailable)
      #expect(error?.message.contains("progress at 127.0.0.1:1") == true)
    }
    // Shutting the servers down has waited for their calls.
    #expect(!others.values.contains { $0.isHeld })
    #expect(try names(folder) == [])
  }

  @Test("a service that does not stop writing in time is named, and the others are let go")
  func slow() async throws {
    let folder = try TemporaryFolder("backup")
    let stuck = PeerAdmin { requests, _ in for try await _ in requests {} }
    let error = await failure {
      _ = try await backUp(peers([.artifact: stuck]), folder, limit: .milliseconds(200))
    }
    #expect(error?.exit == .tryAgain)
    #expect(error?.message.contains("artifact") == true && error?.message.contains("stop writing") == true)
    #expect(!stuck.isHeld)
    #expect(try names(folder) == [])
  }

  @Test("what exists is never written into")
  func existing() async throws {
    let folder = try TemporaryFolder("backup")
    for (path, content) in [("saved", false), ("saved.partial", true)] {
      try FileManager.default.createDirectory(atPath: folder.file(path), withIntermediateDirectories: false)
      if content { try Data().write(to: URL(fileURLWithPath: folder.file(path + "/mine"))) }
      let error = await failure { _ = try await backUp(peers(), folder) }
      #expect(error?.code == "FILE_EXISTS" && error?.message.contains(path) == true, "\(String(describing: error))")
      #expect(FileManager.default.fileExists(atPath: folder.file(content ? path + "/mine" : path)))
      if !content { try FileManager.default.removeItem(atPath: folder.file(path)) }
    }
  }

  @Test("what a killed backup left is cleared, what a living one writes is not")
  func partials() async throws {
    let folder = try TemporaryFolder("backup")
    var living: BackupFolder? = try BackupFolder.begin(folder.file("saved"))
    let error = await failure { _ = try await backUp(peers(), folder) }
    #expect(error?.message.contains("another `buddy backup`") == true)
    // As after SIGKILL: the folder stays, the lock does not.
    withExtendedLifetime(living) {}
    living = nil
    _ = try await backUp(peers(), folder)
    #expect(try names(folder) == ["saved"])
  }

  @Test("--verify notices every change")
  func verify() async throws {
    typealias Change = (says: String, change: (_ folder: String) throws -> Void)
    let changes: [Change] = [
      ("manifest.json cannot be read", { try FileManager.default.removeItem(atPath: $0 + "/manifest.json") }),
      ("cannot open", { try FileManager.default.removeItem(atPath: $0 + "/artifact/database.sqlite3") }),
      ("4 bytes, not 5", { try write("hell", $0 + "/artifact/database.sqlite3") }),
      ("does not match its digest", { try write("hallo", $0 + "/artifact/database.sqlite3") }),
      ("is not in the manifest", { try write("more", $0 + "/artifact/more") }),
      ("cannot open", { folder in
        let path = folder + "/artifact/database.sqlite3"
        try FileManager.default.moveItem(atPath: path, toPath: folder + "/moved")
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: folder + "/moved")
      }),
      ("is not what a backup writes", { try write("{}", $0 + "/manifest.json") }),
      ("has format 2", { try write(#"{"format": 2}"#, $0 + "/manifest.json") }),
      ("does not stay in its folder", { try edit($0) { $0.services["artifact"]?.files[0].path = "../x" } }),
      ("or a file twice", {
        try edit($0) { manifest in
          let files = manifest.services["learning"]?.files ?? []
          manifest.services["artifact"]?.files += files
        }
      }),
      ("does not know", { try edit($0) { $0.services["juggling"] = $0.services["artifact"] } }),
    ]
    for (says, change) in changes {
      let folder = try TemporaryFolder("backup")
      _ = try await backUp(peers(), folder)
      try change(folder.file("saved"))
      let error = await failure { _ = try await StoredBackup.verified(folder.file("saved")) }
      #expect(error?.message.contains(says) == true, "\(says): \(String(describing: error))")
    }
  }

  private func write(_ text: String, _ path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  private func edit(_ folder: String, _ change: (inout BackupManifest) -> Void) throws {
    var manifest = try BackupManifest.read(folder)
    change(&manifest)
    try Data(manifest.encoded()).write(to: URL(fileURLWithPath: folder + "/manifest.json"))
  }

  @Test("arguments that cannot be meant are usage errors", arguments: [
    ["backup"], ["backup", ""], ["backup", "x", "--hold-limit", "2m"], ["backup", "x", "--hold-limit", "0s"],
    ["backup", "x", "--service", "execution"], ["backup", "x", "--service", "nobody=127.0.0.1:1"],
    ["backup", "x", "--service", "gateway=127.0.0.1:1"], ["backup", "x", "--service", "execution=127.0.0.1:1"],
    ["backup", "x", "--service", "execution=127.0.0.1:1", "--data", "y"], ["backup", "x", "--verify", "--data", "y"],
    ["restore"], ["restore", ""], ["restore", "x", "--data", ""],
    ["restore", "x", "--replace", "yes"],
  ])
  func usage(_ arguments: [String]) {
    #expect(throws: (any Error).self) { _ = try Buddy.parseAsRoot(arguments) }
  }

  @Test("where nothing runs it is said how to go on")
  func nothingRuns() throws {
    let folder = try TemporaryFolder("data")
    let error = #expect(throws: CommandError.self) { try RunningInstallation(data: folder.path) }
    #expect(error?.exit == .unavailable && error?.message.contains("buddy up") == true)
    try write("[]", folder.file("installation.json"))
    #expect(throws: CommandError.self) { try RunningInstallation(data: folder.path) }
    var ports = FleetPorts()
    ports.service = [.execution: 1]
    try InstallationFile(data: folder.path).write(ports)
    let missing = #expect(throws: CommandError.self) { try RunningInstallation(data: folder.path) }
    #expect(missing?.message.contains("progress") == true)
  }
}
