import ArgumentParser
import Foundation
import RPC
import ServiceKit
import TestSupport
import Testing
import X509

@testable import BuddyCLI

/// Folders of certificates in which something does not fit.
@Suite("Damaged certificates", .timeLimit(.minutes(2)))
struct CertsDamageTests: CertsSuite {
  let temporary: TemporaryFolder

  init() throws { temporary = try TemporaryFolder("certs") }

  private func refusal(_ arguments: String...) async -> CommandError? {
    do {
      try await certs(arguments[0])
      return nil
    } catch {
      return error as? CommandError
    }
  }

  private func data(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")) }

  private func put(_ data: Data, _ name: String) throws {
    try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)"), options: .atomic)
  }

  private func problems(_ name: String) throws -> [String] {
    let folder = CertificateFolder(folder)
    return try CertificateList.problems(of: folder.read(name), name, folder.read("ca"), folder)
  }

  @Test("another authority's key signs nothing")
  func foreignAuthorityKey() async throws {
    try await certs("init", "--service", "progress")
    let other = temporary.file("other")
    try await certs("init", "--service", "progress", in: other)
    let before = try data("progress.crt")
    try put(Data(contentsOf: URL(fileURLWithPath: "\(other)/ca.key")), "ca.key")
    let error = await refusal("renew")
    #expect(error?.exit == .damagedData)
    #expect(error?.message.contains("is not the key of") == true && error?.message.contains("init --force") == true)
    #expect(try data("progress.crt") == before)
  }

  @Test("a lost key of the authority, and a folder in a file's place, are said with the way out")
  func lostFiles() async throws {
    try await certs("init", "--service", "progress")
    try FileManager.default.removeItem(atPath: "\(folder)/ca.key")
    let lost = await refusal("renew")
    #expect(lost?.exit == .notFound && lost?.message.contains("init --force") == true)
    #expect(lost?.message.contains("no such file") == true)
    try FileManager.default.createDirectory(atPath: "\(folder)/ca.key", withIntermediateDirectories: false)
    #expect(await refusal("renew")?.message.contains("ca.key: is a directory") == true)
    // The rest is looked at without it.
    await #expect(throws: SilentExit.self) { try await certs("show") }
    #expect(try problems("progress") == [])
  }

  @Test("half a certificate is made anew")
  func halfACertificate() async throws {
    try await certs("init", "--service", "progress", "--service", "learning")
    try put(data("progress.crt").prefix(100), "progress.crt")
    try put(Data(), "learning.crt")
    let end = await #expect(throws: SilentExit.self) { try await certs("show") }
    #expect(end?.reason == .failed)
    try await certs("renew", "--service", "progress", "--service", "progress")
    #expect(try problems("progress") == [])
    try await certs("renew")
    #expect(try problems("learning") == [])
    try await certs("show")
    _ = try TLSFolder(folder).server(.learning)
  }

  @Test("what does not fit is told, and no service starts with it")
  func problems() async throws {
    try await certs("init", "--service", "progress", "--service", "learning")
    #expect(try problems("ca") == [] && problems("progress") == [])
    let (certificate, key) = (try data("progress.crt"), try data("progress.key"))
    try put(data("learning.key"), "progress.key")
    #expect(try problems("progress") == ["WRONG KEY", "KEY OPEN TO OTHERS"])
    #expect(throws: TLSFileError.self) { try TLSFolder(folder).server(.progress) }
    try put(data("learning.crt"), "progress.crt")
    chmod("\(folder)/progress.key", 0o600)
    #expect(try problems("progress") == ["WRONG ID"])
    #expect(throws: TLSFileError.self) { try TLSFolder(folder).server(.progress) }
    #expect(throws: TLSFileError.self) { try TLSFolder(folder).client("progress", of: .learning) }
    try put(certificate, "progress.crt")
    try put(key, "progress.key")
    chmod("\(folder)/progress.key", 0o600)
    #expect(try problems("progress") == [])
    let authority = try CertificateAuthority(name: "Other")
    try put(Data(authority.files.certificate.utf8), "ca.crt")
    #expect(try problems("progress") == ["WRONG CA"])
    #expect(throws: TLSFileError.self) { try TLSFolder(folder).server(.progress) }
  }

  @Test("an expired certificate is called that, and ends the start")
  func expired() async throws {
    try await certs("init", "--service", "progress")
    let certificates = CertificateFolder(folder)
    let names = try #require(try certificates.read("progress").extensions.subjectAlternativeNames)
    let old = try certificates.readAuthority().issue(
      "progress", names: names, days: 1, now: .now - 3 * 86_400)
    try certificates.write([(name: "progress", issued: old)])
    #expect(try problems("progress") == ["EXPIRED"])
    let error = #expect(throws: TLSFileError.self) { try TLSFolder(folder).server(.progress) }
    #expect(error?.description.contains("has expired") == true)
  }

  @Test("renewing takes the authority's key away from others")
  func exposedKey() async throws {
    try await certs("init", "--service", "progress")
    chmod("\(folder)/ca.key", 0o644)
    #expect(try problems("ca") == ["KEY OPEN TO OTHERS"])
    try await certs("renew")
    #expect(try problems("ca") == [])
  }

  @Test("of several that begin at once one wins, and its files stay together")
  func race() async throws {
    let won = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 { group.addTask { (try? await certs("init")) != nil } }
      return await group.reduce(into: 0) { count, hasWon in count += hasWon ? 1 : 0 }
    }
    #expect(won == 1)
    for name in ["ca"] + CertsCommand.services { #expect(try problems(name) == []) }
  }

  @Test("names that are given twice count once")
  func repetitions() async throws {
    try await certs(
      "init", "--service", "progress", "--service", "progress", "--name", "localhost", "--address", "127.0.0.1",
      "--address", "::0001")
    let names = try CertificateFolder(folder).read("progress").extensions.subjectAlternativeNames
    #expect(names?.count == 4)
  }

  @Test("a new certificate is never said to be valid for more days than were asked for")
  func days() throws {
    let authority = try CertificateAuthority(name: "Fraction", now: Date(timeIntervalSince1970: 1_800_000_000.9))
    #expect(authority.certificate.notValidAfter.timeIntervalSince1970 == 1_800_000_000 + 3650 * 86_400)
    let names = SubjectAlternativeNames(spiffe: "spiffe://buddy/x", names: [], addresses: [])
    let leaf = try authority.issue("x", names: names, days: 365, now: Date(timeIntervalSince1970: 1_800_000_000.9))
    #expect(leaf.notAfter.timeIntervalSince1970 == 1_800_000_000 + 365 * 86_400)
  }

  @Test("a pipe in a file's place is refused, and holds up nobody", arguments: ["ca.crt", "progress.key"])
  func pipe(_ name: String) async throws {
    try await certs("init", "--service", "progress")
    try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    #expect(mkfifo("\(folder)/\(name)", 0o600) == 0)
    await #expect(throws: (any Error).self) { try await certs("show") }
    await #expect(throws: (any Error).self) { try await certs("renew") }
  }
}
