import Foundation
import RPC
import TestSupport
import Testing

/// Certificates that are replaced while a server and its clients run.
@Suite(.timeLimit(.minutes(2)))
struct TLSReloadTests {
  private let authority: TestAuthority

  init() throws { authority = try TestAuthority() }

  @Test func aServerUsesItsNewCertificateForNewConnections() async throws {
    let lines = Lines()
    let expired = try authority.issue("server", .init(validFrom: -7200, validUntil: -60))
    let tls = try ServerTLS(certificate: expired, reloadInterval: .milliseconds(10), log: lines.add)
    try await withTLSServer(tls) { (address) async throws in
      let trusting = try ClientTLS(trust: .ca(file: authority.file))
      let refused = await status { try await ask(address, trusting) }
      #expect(refused?.message.contains("has expired") == true)
      try authority.issue("server")
      try await eventually("the new certificate is shown") {
        await status { try await ask(address, trusting) } == nil
      }
      #expect(lines.text.contains("new certificates are used from now on"))
    }
  }

  @Test func aClientShowsItsNewCertificateOnNewConnections() async throws {
    let tls = try ServerTLS(
      certificate: authority.issue(service: "progress"), clientCertificates: .required(ca: authority.file))
    let files = try authority.issue(service: "execution")
    let mine = try ClientTLS(trust: .ca(file: authority.file), certificate: files, reloadInterval: .milliseconds(10))
    try await withTLSServer(tls) { (address) async throws in
      try await withClient(address, mine) { (client) async throws in
        let first = try serialNumber(files.chain)
        #expect(try await client.unary(Who.am, "").hasSuffix(" \(first)"))
        try authority.issue(service: "execution")
        let second = try serialNumber(files.chain)
        #expect(first != second)
        try await eventually("the new serial number") { try await ask(address, mine).hasSuffix(" \(second)") }
        // A connection that exists goes on with what it was made with.
        #expect(try await client.unary(Who.am, "").hasSuffix(" \(first)"))
      }
    }
  }

  @Test func aNewAuthorityIsTrusted() async throws {
    let other = try TestAuthority("Other")
    let tls = try ServerTLS(certificate: authority.issue(service: "progress"))
    let mine = try ClientTLS(trust: .ca(file: other.file), reloadInterval: .milliseconds(10))
    try await withTLSServer(tls) { (address) async throws in
      let refused = await status { try await ask(address, mine) }
      #expect(refused?.message.contains("unknown CA") == true)
      try Data(contentsOf: URL(fileURLWithPath: authority.file)).write(to: URL(fileURLWithPath: other.file))
      try await eventually("the server is trusted") { await status { try await ask(address, mine) } == nil }
    }
  }

  @Test func unusableFilesChangeNothing() async throws {
    let lines = Lines()
    let files = try authority.issue("server")
    let trusting = try ClientTLS(trust: .ca(file: authority.file))
    let tls = try ServerTLS(certificate: files, reloadInterval: .milliseconds(10), log: lines.add)
    try await withTLSServer(tls) { (address) async throws in
      // Half of a renewal: the key is there, its certificate not yet.
      try authority.issue("server", keyOnly: true)
      try await eventually("a line") { lines.text.contains("does not belong to the certificate") }
      #expect(try await ask(address, trusting) == "nobody")
      try Data("-----BEGIN CERTIFICATE-----\nMIIB".utf8).write(to: URL(fileURLWithPath: files.chain))
      try await eventually("a line") { lines.text.contains("holds no certificate in PEM form") }
      try FileManager.default.removeItem(atPath: files.key)
      try FileManager.default.removeItem(atPath: files.chain)
      try await eventually("a line") { lines.text.contains("cannot read \(files.chain): no such file or directory") }
      #expect(try await ask(address, trusting) == "nobody")
      // A state of the files is complained about once. Each of three changes may have been seen half way.
      #expect(lines.all.count <= 5)
      try authority.issue("server")
      try await eventually("the new certificate is used") { lines.text.contains("new certificates are used") }
      #expect(try await ask(address, trusting) == "nobody")
    }
  }

  // MARK: - Files that are unusable from the start

  @Test func whatIsWrongShowsAtOnce() throws {
    let files = try authority.issue("server")
    let other = try authority.issue("other")
    let missing = authority.folder.file("missing.crt")
    #expect(
      errorText { try ServerTLS(certificate: .init(chain: missing, key: files.key)) }
        == "cannot read \(missing): no such file or directory")
    #expect(
      errorText { try ServerTLS(certificate: .init(chain: files.chain, key: other.key)) }
        == "the key \(other.key) does not belong to the certificate \(files.chain)")
    #expect(
      errorText { try ServerTLS(certificate: .init(chain: files.key, key: files.key)) }
        == "\(files.key) holds no certificate in PEM form")
    #expect(
      errorText { try ServerTLS(certificate: .init(chain: files.chain, key: files.chain)) }
        == "\(files.chain) holds no private key in PEM form")
    #expect(
      errorText { try ClientTLS(trust: .ca(file: missing)) } == "cannot read \(missing): no such file or directory")
    #expect(errorText { try ClientTLS() } == "none")
  }
}
