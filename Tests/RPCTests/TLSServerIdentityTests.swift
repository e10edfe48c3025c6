import NIOCore
import TestSupport
import Testing

@testable import RPC

/// For which names and addresses a server's certificate counts (RFC 9525).
@Suite(.timeLimit(.minutes(2)))
struct TLSServerIdentityTests {
  private let authority: TestAuthority

  init() throws { authority = try TestAuthority() }

  /// Nil where a server with this certificate is called; else why not.
  private func refusal(
    _ request: TestAuthority.Request, host: String? = nil, serverName: String? = nil
  ) async throws -> String? {
    let tls = try ServerTLS(certificate: authority.issue("server", request))
    return try await withTLSServer(tls) { (address) async throws in
      let mine = try ClientTLS(trust: .ca(file: authority.file), serverName: serverName)
      return await status { try await ask(address, host: host, mine) }?.message
    }
  }

  @Test func theAddressOfAConnectionIsNoName() async throws {
    let onlyAddress = TestAuthority.Request(dnsNames: [], addresses: [[127, 0, 0, 1]])
    #expect(try await refusal(onlyAddress) == nil)
    let bank = try await refusal(onlyAddress, serverName: "bank.example")
    #expect(bank?.contains("the server's certificate is for another name than bank.example") == true)
    #expect(try await refusal(onlyAddress, host: "localhost")?.contains("another name than localhost") == true)
    // The address that is asked for counts, not the one that is connected to.
    let other = try await refusal(onlyAddress, serverName: "10.0.0.1")
    #expect(other?.contains("another name than 10.0.0.1") == true)
  }

  @Test func aCommonNameIsNoName() async throws {
    let common = TestAuthority.Request(commonName: "localhost", addresses: [])
    #expect(try await refusal(common, host: "localhost")?.contains("another name than localhost") == true)
    // Neither is an address among the names an address.
    let named = TestAuthority.Request(dnsNames: ["127.0.0.1"], addresses: [])
    #expect(try await refusal(named)?.contains("another name than 127.0.0.1") == true)
  }

  @Test func aWildcardStandsForOneLabel() async throws {
    let wildcard = TestAuthority.Request(dnsNames: ["*.bank.example"], addresses: [])
    #expect(try await refusal(wildcard, serverName: "www.bank.example") == nil)
    #expect(try await refusal(wildcard, serverName: "a.www.bank.example") != nil)
  }

  @Test(arguments: [
    ("bank.example", "bank.example", true), ("Bank.Example", "bank.EXAMPLE", true),
    ("bank.example.", "bank.example", true), ("bank.example", "bank.example.", true),
    ("bank.example", "www.bank.example", false), ("www.bank.example", "bank.example", false),
    ("*.bank.example", "www.bank.example", true), ("*.bank.example", "bank.example", false),
    ("*.bank.example", "a.b.bank.example", false), ("*.bank.example", ".bank.example", false),
    ("w*.bank.example", "www.bank.example", false), ("www.*.example", "www.bank.example", false),
    ("*", "localhost", false), ("*.example", "bank.example", false), ("*.*", "bank.example", false),
    ("w*.bank.example", "w*.bank.example", false), ("", "", false), ("bank.example\0", "bank.example", false),
    ("bank..example", "bank..example", false), ("bänk.example", "bänk.example", false),
  ])
  func names(_ presented: String, _ host: String, _ isMatch: Bool) {
    #expect(ServerIdentity.matches(presented, host) == isMatch)
  }

  @Test func addresses() {
    #expect(IPAddress.bytes("10.1.2.3") == [10, 1, 2, 3])
    #expect(IPAddress.bytes("::1") == [UInt8](repeating: 0, count: 15) + [1])
    #expect(IPAddress.bytes("fe80::1%eth0")?.count == 16)
    for text in ["localhost", "", "1.2.3", "127.0.0.1%lo", "1.2.3.4.5"] { #expect(IPAddress.bytes(text) == nil) }
  }
}
