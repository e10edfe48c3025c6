import ArgumentParser
import Foundation
import RPC
import ServiceKit
import TestSupport
import Testing
import X509

@testable import BuddyCLI

/// What `buddy certs` replaces, and what it must leave alone.
@Suite("Certificates that are replaced", .timeLimit(.minutes(2)))
struct CertsOverwriteTests: CertsSuite {
  let temporary: TemporaryFolder

  init() throws { temporary = try TemporaryFolder("certs") }

  /// All files with what is in them.
  private func contents() throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    return try names.reduce(into: [:]) { all, name in
      var isFolder: ObjCBool = false
      let path = "\(folder)/\(name)"
      _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      all[name] = isFolder.boolValue ? Data() : try Data(contentsOf: URL(fileURLWithPath: path))
    }
  }

  private func changed(since before: [String: Data]) throws -> [String] {
    let after = try contents()
    return Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }.sorted()
  }

  private func problems(_ name: String) throws -> [String] {
    let folder = CertificateFolder(folder)
    return try CertificateList.problems(of: folder.read(name), name, folder.read("ca"), folder)
  }

  private func put(_ text: String, _ name: String) throws {
    try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
  }

  /// A certificate of another authority and its key.
  private func foreign(_ name: String) throws -> CertificateAuthority.Issued {
    let names = SubjectAlternativeNames(spiffe: TLSFolder.id(name), names: [], addresses: [])
    return try CertificateAuthority(name: "Shop CA").issue(name, names: names, days: 10)
  }

  @Test("renewing leaves alone what is no service's by name")
  func strangers() async throws {
    try await certs("init", "--service", "progress")
    let shop = try foreign("shop")
    try put(shop.certificate, "shop.crt")
    try put(shop.key, "shop.key")
    try put(foreign("old").certificate, "ca-old.crt")
    try FileManager.default.createDirectory(atPath: "\(folder)/dir.crt", withIntermediateDirectories: false)
    let before = try contents()
    try await certs("renew")
    #expect(try changed(since: before) == ["progress.crt", "progress.key"])
    #expect(try problems("progress") == [])
    // They are none of ours to complain about either.
    try await certs("show")
  }

  @Test("renewing leaves alone what another authority signed, in whatever form, and the key beside it")
  func otherAuthority() async throws {
    try await certs("init", "--service", "progress", "--service", "learning")
    let issued = try foreign("progress")
    for (text, service) in [
      (issued.certificate, "progress"), (issued.certificate + issued.certificate, "progress"),
      ("subject=CN\n" + issued.certificate, "progress"), ("\u{30}\u{82}", "progress"),
    ] {
      try put(text, "\(service).crt")
      try put(issued.key, "\(service).key")
      for arguments in [[], ["--service", service, "--service", "learning"]] {
        let before = try contents()
        var command = try #require(
          try Buddy.parseAsRoot(["certs", "renew", "--folder", folder] + arguments) as? any AsyncParsableCommand)
        let end = await #expect(throws: SilentExit.self) { try await command.run() }
        #expect(end?.reason == .failed)
        #expect(try changed(since: before) == ["learning.crt", "learning.key"])
      }
    }
  }

  @Test("a key without a certificate and a folder in a certificate's place stay, and stop nothing")
  func loneKeyAndFolder() async throws {
    try await certs("init", "--service", "progress")
    try put(foreign("learning").key, "learning.key")
    try FileManager.default.createDirectory(atPath: "\(folder)/gateway.crt", withIntermediateDirectories: false)
    let before = try contents()
    await #expect(throws: SilentExit.self) { try await certs("renew") }
    #expect(try changed(since: before) == ["progress.crt", "progress.key"])
    let again = try contents()
    await #expect(throws: CommandError.self) { try await certs("init", "--force") }
    #expect(try changed(since: again) == [])
  }

  @Test("a full disk leaves the old pair, and nothing else")
  func fullDisk() async throws {
    let names = (1...40).flatMap { ["--name", "host\($0).a-rather-long-name.example"] }
    var command = try #require(
      try Buddy.parseAsRoot(["certs", "init", "--folder", folder, "--service", "cli"] + names)
        as? any AsyncParsableCommand)
    try await command.run()
    let before = try contents()
    let (process, errors) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    // No file of more than 1 KiB: the certificate does not fit, its key does.
    process.arguments = [
      "-c", #"trap '' XFSZ; ulimit -f 1; exec "$0" "$@""#, UpProcessTests.buddy.path, "certs", "renew", "--folder",
      folder,
    ]
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == ExitReason.cannotWrite.rawValue, "\(text)")
    #expect(text.contains("cannot write \(folder)/cli.crt: file too large"), "\(text)")
    #expect(try changed(since: before) == [])
    #expect(try problems("cli") == [])
  }

  @Test("whichever file cannot be written, no pair changes", arguments: ["learning.key", "progress.crt"])
  func allOrNothing(_ name: String) async throws {
    try await certs("init", "--service", "progress", "--service", "learning")
    // In the way of the file that is to become it.
    try FileManager.default.createDirectory(
      atPath: "\(folder)/\(name).partial/x", withIntermediateDirectories: true)
    let before = try contents()
    let error = await #expect(throws: CommandError.self) { try await certs("renew") }
    #expect(error?.exit == .cannotWrite && error?.message.contains("\(folder)/\(name): ") == true)
    #expect(try changed(since: before) == [])
    await #expect(throws: CommandError.self) { try await certs("init", "--force") }
    #expect(try changed(since: before) == [])
  }

  @Test("what was interrupted is healed by the next renewal, and leaves nothing")
  func interrupted() async throws {
    try await certs("init", "--service", "progress", "--service", "learning")
    // Between the two renames of a pair.
    try put(String(contentsOfFile: "\(folder)/learning.key", encoding: .utf8), "progress.key")
    try put("half of a key", "progress.key.partial")
    #expect(try problems("progress") == ["WRONG KEY"])
    try FileManager.default.removeItem(atPath: "\(folder)/learning.key")
    try await certs("renew")
    #expect(try problems("progress") == [] && problems("learning") == [])
    #expect(try contents().keys.allSatisfy { !$0.contains("partial") })
  }

  @Test("a new authority replaces all that it makes worthless, or nothing")
  func forceForOne() async throws {
    try await certs("init", "--service", "progress", "--service", "learning", "--service", "gateway")
    let before = try contents()
    let error = await #expect(throws: CommandError.self) {
      try await certs("init", "--force", "--service", "gateway")
    }
    #expect(error?.exit == .cannotWrite && error?.message.contains("for progress, learning would") == true)
    #expect(try changed(since: before) == [])
    try await certs("init", "--force", "--service", "gateway", "--service", "learning", "--service", "progress")
    #expect(try changed(since: before).count == before.count)
    try await certs("show")
    try await certs("init", "--force")
    try await certs("show")
  }

  @Test("why a folder cannot be made is said")
  func folders() async throws {
    let (file, link) = (temporary.file("file"), temporary.file("link"))
    try "x".write(toFile: file, atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: temporary.file("nowhere"))
    for (path, reason) in [
      ("/proc/x", "/proc/x: no such file or directory"), (file, "\(file) is a file"),
      ("\(file)/below/it", "\(file) is a file"), (link, "\(link) is a link that leads nowhere"),
    ] {
      let error = await #expect(throws: CommandError.self) { try await certs("init", in: path) }
      #expect(error?.exit == .cannotWrite)
      #expect(error?.message == "cannot make the folder \(path): \(reason)")
    }
    #expect(NewFolder.make(temporary.file("a/b/c")) == nil && NewFolder.make(temporary.file("a/b/c")) == nil)
  }
}
