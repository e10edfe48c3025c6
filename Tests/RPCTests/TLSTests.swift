import NIOCore
import NIOPosix
import NIOSSL
import RPC
import TestSupport
import Testing

/// TLS and mutual TLS between our server and our client.
@Suite(.timeLimit(.minutes(2)))
struct TLSTests {
  private let authority: TestAuthority
  private let mutual: ServerTLS

  init() throws {
    authority = try TestAuthority()
    mutual = try ServerTLS(
      certificate: authority.issue(service: "progress"), clientCertificates: .required(ca: authority.file))
  }

  private func client(_ service: String = "execution", of other: TestAuthority? = nil) throws -> ClientTLS {
    try ClientTLS(trust: .ca(file: authority.file), certificate: (other ?? authority).issue(service: service))
  }

  // MARK: - Who the caller is

  @Test func theServerKnowsItsCaller() async throws {
    try await withTLSServer(mutual) { (address) async throws in
      let answer = try await ask(address, client())
      #expect(answer.hasPrefix("spiffe://buddy/execution execution localhost "))
      let serial = try serialNumber(authority.folder.file("execution.crt"))
      #expect(answer.hasSuffix(" \(serial)"))
    }
  }

  @Test func allKindsOfCallsWork() async throws {
    try await withTLSServer(mutual) { (address) async throws in
      try await withClient(address, client()) { (client) async throws in
        let blob = ByteBuffer(repeating: 7, count: 1_000_000)
        #expect(try await client.unary(Echo.blob, blob) == blob)
        var numbers = 0
        for try await _ in try await client.serverStreaming(Echo.expand, "1000") { numbers += 1 }
        #expect(numbers == 1000)
        let all = try await client.clientStreaming(Echo.collect) { requests in
          for word in ["a", "b"] { try await requests.write(word) }
        }
        #expect(all == "ab")
      }
    }
  }

  @Test func aClientWithoutACertificateIsNobody() async throws {
    let server = try authority.issue(service: "progress")
    let trusting = try ClientTLS(trust: .ca(file: authority.file))
    let answer = try await withTLSServer(try ServerTLS(certificate: server)) { try await ask($0, trusting) }
    #expect(answer == "nobody")
    let optional = try ServerTLS(certificate: server, clientCertificates: .optional(ca: authority.file))
    try await withTLSServer(optional) { (address) async throws in
      #expect(try await ask(address, trusting) == "nobody")
      #expect(try await ask(address, client()).hasPrefix("spiffe://buddy/execution "))
    }
  }

  @Test func twoURIsAreNoSPIFFEId() async throws {
    let files = try authority.issue(
      "two", .init(commonName: "two", uris: ["spiffe://buddy/execution", "spiffe://buddy/gateway"]))
    try await withTLSServer(mutual) { (address) async throws in
      let tls = try ClientTLS(trust: .ca(file: authority.file), certificate: files)
      #expect(try await ask(address, tls).hasPrefix("- two "))
    }
  }

  // MARK: - Which server it is

  @Test func theServersNameIsVerified() async throws {
    let files = try authority.issue("named", .init(dnsNames: ["buddy.example"], addresses: []))
    try await withTLSServer(try ServerTLS(certificate: files)) { (address) async throws in
      let trust = ClientTLS.Trust.ca(file: authority.file)
      let wrong = await status { try await ask(address, host: "localhost", ClientTLS(trust: trust)) }
      #expect(wrong?.code == .unavailable)
      #expect(wrong?.message.contains("TLS: the server's certificate is for another name") == true)
      let byAddress = await status { try await ask(address, ClientTLS(trust: trust)) }
      #expect(byAddress?.message.contains("for another name") == true)
      #expect(try await ask(address, ClientTLS(trust: trust, serverName: "buddy.example")) == "nobody")
    }
  }

  @Test func theServersSPIFFEIdIsVerified() async throws {
    try await withTLSServer(mutual) { (address) async throws in
      func tls(_ id: String) throws -> ClientTLS {
        try ClientTLS(
          trust: .ca(file: authority.file), certificate: authority.issue(service: "execution"),
          verification: .spiffe(id))
      }
      #expect(try await ask(address, tls("spiffe://buddy/progress")).hasPrefix("spiffe://buddy/execution "))
      let wrong = await status { try await ask(address, tls("spiffe://buddy/artifact")) }
      #expect(wrong?.code == .unavailable)
      #expect(wrong?.message.contains("is spiffe://buddy/progress, not spiffe://buddy/artifact") == true)
    }
  }

  // MARK: - Refused

  @Test func aServerOfAnotherAuthorityIsRefused() async throws {
    let log = Lines()
    let other = try TestAuthority("Other")
    let foreign = try ClientTLS(trust: .ca(file: other.file))
    let tls = try ServerTLS(certificate: authority.issue(service: "progress"))
    try await withTLSServer(tls, log: log) { (address) async throws in
      let refused = await status { try await ask(address, foreign) }
      #expect(refused?.code == .unavailable)
      #expect(refused?.message.contains("unknown CA") == true)
      try await eventually("a line in the log") { log.text.contains("the client refused the connection: unknown CA") }
    }
  }

  @Test func anExpiredCertificateIsRefusedByEitherSide() async throws {
    let expired = try authority.issue("old", .init(validFrom: -7200, validUntil: -60))
    try await withTLSServer(try ServerTLS(certificate: expired)) { (address) async throws in
      let refused = await status { try await ask(address, ClientTLS(trust: .ca(file: authority.file))) }
      #expect(refused?.message.contains("the server's certificate has expired") == true)
    }
    let log = Lines()
    try await withTLSServer(mutual, log: log) { (address) async throws in
      let tls = try ClientTLS(trust: .ca(file: authority.file), certificate: expired)
      #expect(await status { try await ask(address, tls) }?.code == .unavailable)
      try await eventually("a line in the log") { log.text.contains("the client's certificate has expired") }
      try await expect(address, tls, "the server refused the connection: certificate expired")
    }
  }

  @Test func aClientOfAnotherAuthorityIsRefused() async throws {
    let log = Lines()
    try await withTLSServer(mutual, log: log) { (address) async throws in
      let other = try TestAuthority("Other")
      let foreign = try client(of: other)
      #expect(await status { try await ask(address, foreign) }?.code == .unavailable)
      try await eventually("a line in the log") { log.text.contains("not from a CA that is trusted here (unknown CA)") }
      try await expect(address, foreign, "the server refused the connection: unknown CA")
      let none = try ClientTLS(trust: .ca(file: authority.file))
      try await eventually("a line in the log") {
        _ = await status { try await ask(address, none) }
        return log.text.contains("the client showed no certificate, and one is required")
      }
      try await expect(address, none, "the server refused the connection: certificate required")
    }
  }

  @Test func aCertificateForServersAloneIsNoClients() async throws {
    let files = try authority.issue("server-only", .init(isForClients: false))
    let log = Lines()
    try await withTLSServer(mutual, log: log) { (address) async throws in
      let tls = try ClientTLS(trust: .ca(file: authority.file), certificate: files)
      #expect(await status { try await ask(address, tls) }?.code == .unavailable)
      try await eventually("a line in the log") { log.text.contains("not for this use") }
    }
  }

  @Test func plainTextAndTLSDoNotMix() async throws {
    let log = Lines()
    try await withTLSServer(mutual, log: log) { (address) async throws in
      #expect(await status { try await ask(address, nil) }?.code == .unavailable)
      try await eventually("a line in the log") { log.text.contains("the client does not speak TLS") }
    }
    try await withPair { _, address in
      let refused = await status { try await ask(address, client()) }
      #expect(refused?.code == .unavailable)
      #expect(refused?.message.contains("the server does not speak TLS") == true)
    }
  }

  /// The server's alert may get lost where the connection is reset behind it, so more than one attempt counts.
  private func expect(_ address: BoundAddress, _ tls: ClientTLS, _ reason: String) async throws {
    try await eventually(reason) {
      let refused = await status { try await ask(address, tls) }
      return refused?.message.contains(reason) ?? false
    }
  }
}

/// Of the first certificate in a file, in hexadecimal.
func serialNumber(_ path: String) throws -> String {
  let bytes = try NIOSSLCertificate.fromPEMFile(path)[0].serialNumber
  let digits = bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  return String(digits.drop { digit in digit == "0" })
}
