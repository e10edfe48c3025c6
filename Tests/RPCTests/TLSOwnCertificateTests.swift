import Foundation
import TestSupport
import Testing

@testable import RPC

/// A certificate that cannot be what its own side must show.
@Suite(.timeLimit(.minutes(2)))
struct TLSOwnCertificateTests {
  private let authority: TestAuthority
  private let id = "spiffe://buddy/progress"

  init() throws { authority = try TestAuthority() }

  private var own: OwnCertificate { OwnCertificate(ca: authority.file, spiffeID: id) }

  private func request(from: Double = -3600, until: Double = 3600, id: String? = nil) -> TestAuthority.Request {
    .init(uris: [id ?? self.id], validFrom: from, validUntil: until)
  }

  /// As a server's and as a client's, which are the same.
  private func problem(_ files: CertificateFiles) throws -> String {
    let server = errorText {
      try ServerTLS(certificate: files, own: own, clientCertificates: .required(ca: authority.file))
    }
    let client = errorText { try ClientTLS(trust: .ca(file: authority.file), certificate: files, own: own) }
    #expect(server == client)
    return server
  }

  @Test func whatDoesNotFitIsSaid() throws {
    #expect(try problem(authority.issue("good", request())) == "none")
    let expired = try problem(authority.issue("expired", request(from: -7200, until: -60)))
    #expect(expired.contains("expired.crt has expired, at 20"))
    let early = try problem(authority.issue("early", request(from: 600)))
    #expect(early.contains("early.crt is not valid before 20"))
    let mistaken = try problem(authority.issue("mistaken", request(id: "spiffe://buddy/gateway")))
    #expect(mistaken.hasSuffix("mistaken.crt is for spiffe://buddy/gateway, not spiffe://buddy/progress"))
    // Of the same name, and yet another.
    let other = try TestAuthority()
    let foreign = try problem(other.issue("foreign", request()))
    #expect(foreign.hasSuffix("foreign.crt was not made by an authority in \(authority.file)"))
  }

  @Test func onlyAnAuthorityMakesCertificates() throws {
    // A service's own certificate as the authority of another.
    let files = try authority.issue("progress", request())
    let leafAsAuthority = OwnCertificate(ca: files.chain)
    #expect(throws: TLSFileError.self) { try leafAsAuthority.check(files) }
    let later = Int(Date.now.timeIntervalSince1970) + 7200
    #expect(throws: TLSFileError.self) { try own.check(files, now: later) }
  }

  @Test func aRunningServerKeepsWhatItHad() async throws {
    let lines = Lines()
    let files = try authority.issue("server", request())
    let tls = try ServerTLS(certificate: files, own: own, reloadInterval: .milliseconds(10), log: lines.add)
    let trusting = try ClientTLS(trust: .ca(file: authority.file), verification: .spiffe(id))
    let other = try TestAuthority()
    let foreign = try other.issue("server", request())
    try await withTLSServer(tls) { (address) async throws in
      // A pair that fits together, of an authority that nobody here trusts.
      for (new, old) in [(foreign.key, files.key), (foreign.chain, files.chain)] {
        try Data(contentsOf: URL(fileURLWithPath: new)).write(to: URL(fileURLWithPath: old), options: .atomic)
      }
      try await eventually("a line") { lines.text.contains("server.crt was not made by an authority in") }
      #expect(try await ask(address, trusting) == "nobody")
      try authority.issue("server", request())
      try await eventually("the new certificate is used") { lines.text.contains("new certificates are used") }
      #expect(try await ask(address, trusting) == "nobody")
    }
  }
}
