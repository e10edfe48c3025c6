import NIOSSL
import SwiftASN1
import X509

/// Who a peer is, by a certificate that was verified.
public struct PeerIdentity: Sendable, Hashable {
  /// The names of kind URI, in the certificate's order.
  public let uris: [String]
  /// The names of kind DNS, in the certificate's order.
  public let dnsNames: [String]
  /// The subject's last common name.
  public let commonName: String?
  /// In hexadecimal, without leading zeros: `3fa9`.
  public let serialNumber: String
  /// The last moment the certificate is valid at, in seconds since 1970.
  public let notAfter: Int
  /// `spiffe://trust-domain/path`. Nil unless that is the only URI, as SPIFFE's X.509-SVID asks for.
  public let spiffeID: String?

  init(uris: [String], dnsNames: [String], commonName: String?, serialNumber: String, notAfter: Int) {
    self.uris = uris
    self.dnsNames = dnsNames
    self.commonName = commonName
    self.serialNumber = serialNumber
    self.notAfter = notAfter
    spiffeID = uris.count == 1 && uris[0].hasPrefix("spiffe://") ? uris[0] : nil
  }

  /// - Throws: `TLSFailure` for a certificate that cannot be read.
  init(_ certificate: NIOSSLCertificate) throws {
    guard let parsed = try? Certificate(derEncoded: certificate.toDERBytes()) else {
      throw TLSFailure("the peer's certificate cannot be read")
    }
    var (uris, dnsNames) = ([String](), [String]())
    for name in (try? parsed.extensions.subjectAlternativeNames) ?? SubjectAlternativeNames() {
      switch name {
      case .uniformResourceIdentifier(let uri): uris.append(uri)
      case .dnsName(let name): dnsNames.append(name)
      default: break
      }
    }
    let names = parsed.subject.flatMap { $0 }.filter { $0.type == .RDNAttributeType.commonName }
    let digits = certificate.serialNumber.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    self.init(
      uris: uris, dnsNames: dnsNames, commonName: names.last.flatMap { String($0.value) },
      serialNumber: String(digits.drop { $0 == "0" }), notAfter: Int(certificate.notValidAfter))
  }
}
