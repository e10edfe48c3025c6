import Glibc
import NIOSSL
import SwiftASN1
import X509

/// Whether a server's certificate is for the name that the client means (RFC 9525).
///
/// The TLS library would also take a certificate for the address of the connection where a name was asked for, and a
/// common name. Here a name is only found among the DNS names and an address only among the IP addresses.
enum ServerIdentity {
  /// - Parameter host: A name or an IP address, as the client was told.
  /// - Throws: `TLSFailure` for a certificate of another server, or one that cannot be read.
  static func verify(_ certificate: NIOSSLCertificate, is host: String) throws {
    guard let parsed = try? Certificate(derEncoded: certificate.toDERBytes()) else {
      throw TLSFailure("the server's certificate cannot be read")
    }
    let names = (try? parsed.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()
    let isNamed =
      if let address = IPAddress.bytes(host) {
        names.contains { if case .ipAddress(let bytes) = $0 { Array(bytes.bytes) == address } else { false } }
      } else {
        names.contains { if case .dnsName(let name) = $0 { matches(name, host) } else { false } }
      }
    guard isNamed else { throw TLSFailure("the server's certificate is for another name than \(host)") }
  }

  /// By whole labels, without regard to case. A wildcard is the whole first label of `presented` and stands for exactly
  /// one (RFC 9525, section 6.3); the name behind it must have two labels, so that nobody is all of a top-level domain.
  static func matches(_ presented: String, _ host: String) -> Bool {
    guard let presented = labels(presented), let host = labels(host), presented.count == host.count else {
      return false
    }
    guard presented[0] == "*" else { return presented == host && !host[0].contains("*") }
    return presented.count > 2 && presented.dropFirst() == host.dropFirst()
  }

  /// In lower case, without the dot of the root. Nil where a label is empty or not ASCII, or a star stands elsewhere.
  private static func labels(_ name: String) -> [String]? {
    let absolute = name.hasSuffix(".") ? name.dropLast() : name[...]
    let labels = absolute.split(separator: ".", omittingEmptySubsequences: false).map { $0.lowercased() }
    let areLabels = labels.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
    return areLabels && !labels.dropFirst().contains { $0.contains("*") } ? labels : nil
  }
}

/// An IP address as a certificate has it.
package enum IPAddress {
  /// 4 or 16 bytes in network order; nil for what is no address.
  package static func bytes(_ text: String) -> [UInt8]? {
    var v4 = [UInt8](repeating: 0, count: 4)
    if inet_pton(AF_INET, text, &v4) == 1 { return v4 }
    // The interface behind a link-local address is no part of it.
    var v6 = [UInt8](repeating: 0, count: 16)
    return inet_pton(AF_INET6, String(text.prefix { $0 != "%" }), &v6) == 1 ? v6 : nil
  }
}
