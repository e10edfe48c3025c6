import ArgumentParser
import Foundation
import RPC
import ServiceKit
import SwiftASN1
import TestSupport
import Testing
import X509

@testable import BuddyCLI

/// Certificates that the command makes, looked at with other people's tools.
@Suite("Certificates", .timeLimit(.minutes(2)))
struct CertsTests: CertsSuite {
  let temporary: TemporaryFolder

  init() throws { temporary = try TemporaryFolder("certs") }

  /// What openssl prints, of both kinds.
  private func openssl(_ arguments: String...) throws -> (code: Int32, text: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = arguments
    let pipe = Pipe()
    (process.standardOutput, process.standardError) = (pipe, pipe)
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }

  private func mode(_ name: String) throws -> Int? {
    let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
    return (attributes[.posixPermissions] as? NSNumber)?.intValue
  }

  @Test("openssl takes every one of them, for a server and for a client")
  func verified() async throws {
    try await certs("init", "--name", "buddy.example", "--address", "10.1.2.3", "--days", "30")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(files.count == 2 * (CertsCommand.services.count + 1))
    for service in CertsCommand.services {
      for purpose in ["sslserver", "sslclient"] {
        let result = try openssl(
          "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "\(folder)/ca.crt", "\(folder)/\(service).crt")
        #expect(result.code == 0, "\(result.text)")
      }
      let text = try openssl("x509", "-in", "\(folder)/\(service).crt", "-noout", "-text").text
      for part in [
        "URI:spiffe://buddy/\(service)", "DNS:localhost", "DNS:buddy.example", "IP Address:127.0.0.1",
        "IP Address:10.1.2.3", "IP Address:0:0:0:0:0:0:0:1", "TLS Web Server Authentication",
        "TLS Web Client Authentication", "CA:FALSE", "prime256v1", "Digital Signature",
      ] { #expect(text.contains(part), "\(service): \(part)") }
      #expect(try mode("\(service).key") == 0o600)
    }
    #expect(try mode("ca.key") == 0o600)
    #expect(try mode("ca.crt") == 0o644)
    #expect(try openssl("x509", "-in", "\(folder)/ca.crt", "-noout", "-text").text.contains("CA:TRUE, pathlen:0"))
    let end = try openssl("x509", "-in", "\(folder)/cli.crt", "-noout", "-checkend", "\(29 * 86_400)")
    #expect(end.code == 0)
    #expect(try openssl("x509", "-in", "\(folder)/cli.crt", "-noout", "-checkend", "\(31 * 86_400)").code == 1)
  }

  @Test("what is there is only replaced when that is asked for")
  func overwrite() async throws {
    try await certs("init", "--service", "progress")
    let first = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/ca.crt"))
    let error = await #expect(throws: CommandError.self) { try await certs("init", "--service", "learning") }
    #expect(error?.exit == .cannotWrite && error?.message.contains("--force") == true)
    #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/ca.crt")) == first)
    try await certs("init", "--force")
    #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/ca.crt")) != first)
    #expect(try TLSFolder(folder).server(.progress).minimumVersion == .tls13)
  }

  @Test("a renewed certificate is another one of the same authority, with the same names")
  func renew() async throws {
    try await certs("init", "--address", "10.1.2.3", "--service", "progress", "--service", "learning")
    let certificates = CertificateFolder(folder)
    let (progress, learning) = (try certificates.read("progress"), try certificates.read("learning"))
    try await certs("renew", "--service", "progress", "--days", "3650")
    let renewed = try certificates.read("progress")
    #expect(renewed.serialNumber != progress.serialNumber && renewed.issuer == progress.issuer)
    #expect(try renewed.extensions.subjectAlternativeNames == progress.extensions.subjectAlternativeNames)
    #expect(try certificates.read("learning") == learning)
    // It never outlives its authority.
    #expect(try renewed.notValidAfter <= certificates.read("ca").notValidAfter)
    let verified = try openssl("verify", "-CAfile", "\(folder)/ca.crt", "\(folder)/progress.crt")
    #expect(verified.code == 0, "\(verified.text)")
    // A service that had none yet gets one.
    try await certs("renew", "--service", "artifact")
    #expect(certificates.names == ["artifact", "learning", "progress"])
    _ = try TLSFolder(folder).client("artifact", of: .progress)
  }

  @Test("a folder without certificates is said to be one")
  func nothingThere() async throws {
    for command in ["show", "renew"] {
      let error = await #expect(throws: CommandError.self) { try await certs(command) }
      #expect(error?.exit == .notFound && error?.message.contains("buddy certs init") == true)
    }
    let error = #expect(throws: CommandError.self) { try TLSFolder(folder).check([.progress]) }
    #expect(error?.exit == .notFound && error?.message.contains("cannot read \(folder)/progress.crt") == true)
    #expect(throws: CommandError.self) { try TLSFolder(folder).commandClient(of: .progress) }
  }

  @Test("arguments that cannot be meant are usage errors", arguments: [
    ["init", "--days", "0"], ["init", "--days", "3651"], ["init", "--service", "nobody"], ["init", "--folder", ""],
    ["init", "--address", "buddy.example"], ["init", "--name", ""], ["init", "--name", "two words"],
    ["init", "--name", "buddy.example", "--name", "10.0.0.5"],
    ["renew", "--address", "10.1.2.3"], ["show", "--days", "1"],
  ])
  func usage(_ arguments: [String]) {
    #expect(throws: (any Error).self) { _ = try Buddy.parseAsRoot(["certs"] + arguments) }
  }

  @Test("a name that nobody could verify is none", arguments: [
    "https://x.example:443", "x.example:443", "x.example/", "x..example", ".example", "x.example.", "-x.example",
    "x-.example", "bücher.example", "user@x.example", "*", "*.example", "x.*.example", "300.1.1.1", "10.1", "",
    String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "a",
  ])
  func badHostNames(_ name: String) {
    #expect(HostName.problem(name)?.contains("is no name of a host") == true)
  }

  @Test("an address is to be given as one", arguments: ["10.0.0.5", "::1", "[::1]", "2001:db8::1"])
  func addressesAsNames(_ name: String) {
    let address = name.trimmingCharacters(in: ["[", "]"])
    #expect(HostName.problem(name) == "is an address: use --address \(address)")
  }

  @Test("names of hosts", arguments: [
    "localhost", "buddy.example", "a1.b-c.example", "1and1.example", "*.buddy.example", "my_service",
    "xn--bcher-kva.example", String(repeating: "a", count: 63) + ".example",
  ])
  func hostNames(_ name: String) { #expect(HostName.problem(name) == nil) }

  @Test("the flag goes before the variable, and neither is no TLS")
  func folders() throws {
    func options(_ arguments: [String]) throws -> TLSOptions { try TLSOptions.parse(arguments) }
    #expect(try options([]).folder(environment: [:]) == nil)
    #expect(try options([]).folder(environment: ["BUDDY_TLS_FOLDER": ""]) == nil)
    #expect(try options([]).folder(environment: ["BUDDY_TLS_FOLDER": "/a/../b"])?.path == "/b")
    #expect(try options(["--tls-folder", "/c"]).folder(environment: ["BUDDY_TLS_FOLDER": "/b"])?.path == "/c")
    #expect(throws: (any Error).self) { try options(["--tls-folder", ""]) }
    // A variable that came out empty is no wish for plain text.
    #expect(throws: (any Error).self) { try options([]).check(environment: ["BUDDY_TLS_FOLDER": ""]) }
    try options(["--tls-folder", "/c"]).check(environment: ["BUDDY_TLS_FOLDER": ""])
  }
}
