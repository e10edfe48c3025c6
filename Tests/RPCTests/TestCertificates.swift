import Crypto
import Foundation
import RPC
import SwiftASN1
import TestSupport
import X509

/// A certificate authority for a test, and the files of the certificates it makes.
struct TestAuthority {
  let folder: TemporaryFolder
  private let key = P256.Signing.PrivateKey()
  private let certificate: Certificate

  /// Its certificate as a file.
  var file: String { folder.file("ca.crt") }

  init(_ name: String = "Test CA") throws {
    folder = try TemporaryFolder("tls")
    let subject = try DistinguishedName { CommonName(name) }
    certificate = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: .now - 3600,
      notValidAfter: .now + 3600, issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
        Critical(KeyUsage(keyCertSign: true, cRLSign: true))
      }, issuerPrivateKey: .init(key))
    try write(certificate.serializeAsPEM().pemString, to: file)
  }

  /// What a certificate says.
  struct Request {
    var commonName = "test"
    var uris: [String] = []
    var dnsNames: [String] = []
    /// IPv4.
    var addresses: [[UInt8]] = [[127, 0, 0, 1]]
    /// Relative to now, in seconds.
    var validFrom: TimeInterval = -3600
    var validUntil: TimeInterval = 3600
    var isForClients = true
  }

  /// Makes a certificate and its key, in files of this name; those that are there are replaced, each at once.
  @discardableResult
  func issue(_ name: String, _ request: Request = Request(), keyOnly: Bool = false) throws -> CertificateFiles {
    let leafKey = P256.Signing.PrivateKey()
    let files = CertificateFiles(chain: folder.file("\(name).crt"), key: folder.file("\(name).key"))
    try write(leafKey.pemRepresentation, to: files.key)
    if keyOnly { return files }
    let names = request.uris.map(GeneralName.uniformResourceIdentifier) + request.dnsNames.map(GeneralName.dnsName)
      + request.addresses.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) }
    let leaf = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(leafKey.publicKey),
      notValidBefore: .now + request.validFrom, notValidAfter: .now + request.validUntil,
      issuer: certificate.subject, subject: DistinguishedName { CommonName(request.commonName) },
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        Critical(KeyUsage(digitalSignature: true))
        try ExtendedKeyUsage(request.isForClients ? [.serverAuth, .clientAuth] : [.serverAuth])
        SubjectAlternativeNames(names)
      }, issuerPrivateKey: .init(key))
    try write(leaf.serializeAsPEM().pemString, to: files.chain)
    return files
  }

  /// With the SPIFFE id of one of Buddy's services.
  @discardableResult
  func issue(service: String) throws -> CertificateFiles {
    try issue(service, Request(commonName: service, uris: ["spiffe://buddy/\(service)"], dnsNames: ["localhost"]))
  }

  private func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  }
}
