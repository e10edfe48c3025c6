import Crypto
import Foundation
import RPC
import SwiftASN1
import X509

/// A private certificate authority, and the certificates it makes. Keys are P-256.
struct CertificateAuthority {
  /// How long the authority's own certificate is valid.
  static let validDays = 3650
  /// Clocks differ: certificates are valid from a little while ago.
  private static let clockDifference: TimeInterval = 300

  /// Certificates count in seconds, and what they round up would be a day more than was said.
  private static func second(_ date: Date) -> Date {
    Date(timeIntervalSince1970: date.timeIntervalSince1970.rounded(.down))
  }

  let certificate: Certificate
  private let key: P256.Signing.PrivateKey

  /// A certificate and its key as the texts of PEM files.
  struct Issued {
    let certificate: String
    let key: String
    let notAfter: Date
  }

  /// A new one.
  init(name: String, now: Date = .now) throws {
    let now = Self.second(now)
    key = P256.Signing.PrivateKey()
    let publicKey = Certificate.PublicKey(key.publicKey)
    let subject = try DistinguishedName { CommonName(name) }
    certificate = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: now - Self.clockDifference,
      notValidAfter: now + Double(Self.validDays) * 86_400, issuer: subject, subject: subject,
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
        Critical(KeyUsage(keyCertSign: true, cRLSign: true))
        SubjectKeyIdentifier(hash: publicKey)
      }, issuerPrivateKey: .init(key))
  }

  /// The key is of another authority.
  struct WrongKey: Error {}

  /// One that was made before. Throws for texts that are not its, and `WrongKey`.
  init(certificate: String, key: String) throws {
    self.certificate = try Certificate(pemEncoded: certificate)
    self.key = try P256.Signing.PrivateKey(pemRepresentation: key)
    guard self.certificate.publicKey == Certificate.PublicKey(self.key.publicKey) else { throw WrongKey() }
  }

  func isValid(now: Date = .now) -> Bool { (certificate.notValidBefore...certificate.notValidAfter).contains(now) }

  var files: Issued {
    get throws {
      Issued(
        certificate: try certificate.serializeAsPEM().pemString + "\n", key: key.pemRepresentation + "\n",
        notAfter: certificate.notValidAfter)
    }
  }

  /// A certificate for servers and clients; not valid longer than the authority's own.
  func issue(_ name: String, names: SubjectAlternativeNames, days: Int, now: Date = .now) throws -> Issued {
    let now = Self.second(now)
    let leafKey = P256.Signing.PrivateKey()
    let publicKey = Certificate.PublicKey(leafKey.publicKey)
    let notAfter = min(now + Double(days) * 86_400, certificate.notValidAfter)
    let leaf = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: now - Self.clockDifference,
      notValidAfter: notAfter, issuer: certificate.subject,
      subject: DistinguishedName { CommonName("buddy \(name)") }, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage([.serverAuth, .clientAuth])
        names
        SubjectKeyIdentifier(hash: publicKey)
        AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
      }, issuerPrivateKey: .init(key))
    return Issued(
      certificate: try leaf.serializeAsPEM().pemString + "\n", key: leafKey.pemRepresentation + "\n",
      notAfter: leaf.notValidAfter)
  }
}

extension SubjectAlternativeNames {
  /// A service's: its SPIFFE id, this machine, and what else it is called by.
  init(spiffe id: String, names: [String], addresses: [String]) {
    let bytes = (["127.0.0.1", "::1"] + addresses).compactMap(IPAddress.bytes).withoutRepetitions
    self.init(
      [.uniformResourceIdentifier(id)] + (["localhost"] + names).withoutRepetitions.map(GeneralName.dnsName)
        + bytes.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) })
  }
}

extension Array where Element: Hashable {
  /// Each element where it stands first.
  var withoutRepetitions: [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
