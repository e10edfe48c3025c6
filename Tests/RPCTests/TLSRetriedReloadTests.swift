import Foundation
import NIOConcurrencyHelpers
import NIOSSL
import TestSupport
import Testing

@testable import RPC

/// Files that could not be used when they changed, for a reason that passes without another change.
@Suite(.timeLimit(.minutes(2)))
struct TLSRetriedReloadTests {
  private let authority: TestAuthority

  init() throws { authority = try TestAuthority() }

  /// Each reason is logged when it comes up, however often the files are tried.
  @Test func whatPassesIsTriedAgain() async throws {
    let lines = Lines()
    let reason = NIOLockedValueBox<String?>(nil)
    let attempts = NIOLockedValueBox(0)
    let file = authority.file
    let contexts = try TLSContexts(
      files: [file], reloadInterval: .milliseconds(10), log: lines.add
    ) { () throws(TLSFileError) in
      attempts.withLockedValue { $0 += 1 }
      if let reason = reason.withLockedValue({ $0 }) { throw TLSFileError(description: reason) }
      return try TLSConfiguration.makeClientConfiguration().context(nil)
    }
    let first = contexts.current
    func attempt(_ problem: String?) async throws {
      reason.withLockedValue { $0 = problem }
      let before = attempts.withLockedValue { $0 }
      try await eventually("more attempts") { attempts.withLockedValue { $0 } > before + 3 }
    }
    reason.withLockedValue { $0 = "too many open files" }
    try Data("changed".utf8).write(to: URL(fileURLWithPath: file))
    try await attempt("too many open files")
    try await attempt("permission denied")
    #expect(contexts.current === first)
    reason.withLockedValue { $0 = nil }
    try await eventually("the files are used") { contexts.current !== first }
    try await eventually("three lines") { lines.all.count == 3 }
    let ends = ["too many open files", "permission denied", "read from \(file)"]
    #expect(zip(lines.all, ends).allSatisfy { $0.hasSuffix($1) }, "\(lines.all)")
    // What is in use is left alone.
    let after = attempts.withLockedValue { $0 }
    try Data("changed again".utf8).write(to: URL(fileURLWithPath: file))
    try await eventually("another line") { lines.all.count == 4 }
    #expect(attempts.withLockedValue { $0 } <= after + 2)
  }

  /// A renewal that runs ahead of this machine's clock.
  @Test func aCertificateWhoseTimeComes() async throws {
    let request = TestAuthority.Request(uris: ["spiffe://buddy/progress"])
    let files = try authority.issue("server", request)
    let tls = try ServerTLS(
      certificate: files, own: OwnCertificate(ca: authority.file), reloadInterval: .milliseconds(10))
    let trusting = try ClientTLS(trust: .ca(file: authority.file), verification: .spiffe("spiffe://buddy/gateway"))
    try await withTLSServer(tls) { (address) async throws in
      #expect(await status { try await ask(address, trusting) } != nil)
      var early = request
      (early.uris, early.validFrom) = (["spiffe://buddy/gateway"], 2)
      try authority.issue("server", early)
      try await eventually("the new certificate is shown") { await status { try await ask(address, trusting) } == nil }
    }
  }

  /// Root reads it all the same, and then at once.
  @Test func aFileThatMayBeReadLater() async throws {
    let files = try authority.issue("server")
    let lines = Lines()
    let tls = try ServerTLS(certificate: files, reloadInterval: .milliseconds(10), log: lines.add)
    let renewed = try authority.issue("next")
    chmod(renewed.key, 0)
    for (new, old) in [(renewed.key, files.key), (renewed.chain, files.chain)] { rename(new, old) }
    if geteuid() != 0 {
      try await eventually("a line") { lines.text.contains("cannot read \(files.key): permission denied") }
    }
    chmod(files.key, 0o600)
    try await eventually("new certificates are used") { lines.text.contains("new certificates are used") }
    withExtendedLifetime(tls) {}
  }

  // MARK: - What the text of an unusable certificate says

  /// An authority's certificate is for signing certificates, not handshakes.
  @Test func anAuthoritysCertificateIsNotShown() throws {
    let key = try authority.issue("gateway").key
    #expect(
      errorText { try ServerTLS(certificate: .init(chain: authority.file, key: key)) }
        == "\(authority.file) is no certificate to show in TLS: its key may not sign (key usage); is it an authority's?")
  }
}
