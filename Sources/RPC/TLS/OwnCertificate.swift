import Glibc
import NIOSSL
import SwiftASN1
import X509

/// What a side's own certificate must be, where it is known who made it. A certificate that is not is refused like a
/// file that cannot be read: at the start with a `TLSFileError`, afterwards by going on with the one before.
public struct OwnCertificate: Sendable, Hashable {
  /// The PEM file of the authorities: one of them must have made the first certificate, or one of those behind it.
  public let ca: String
  /// What the certificate must say. Nil: anything.
  public let spiffeID: String?

  public init(ca: String, spiffeID: String? = nil) {
    self.ca = ca
    self.spiffeID = spiffeID
  }

  /// - Parameter now: In seconds since 1970.
  func check(_ files: CertificateFiles, now: Int = time(nil)) throws(TLSFileError) {
    let chain = try PEMFile.certificates(files.chain)
    let authorities = try PEMFile.certificates(ca)
    try Self.checkDates(chain[0], files.chain, now)
    let leaf = try Self.parsed(chain[0], files.chain)
    if let spiffeID {
      let id = (try? PeerIdentity(chain[0]))?.spiffeID
      guard id == spiffeID else {
        throw TLSFileError(description: "\(files.chain) is for \(id ?? "nobody with a SPIFFE id"), not \(spiffeID)")
      }
    }
    var (certificate, intermediates) = (leaf, chain.dropFirst())
    var hasExpired = false
    // Each step goes one further along the chain, so this ends.
    while true {
      for authority in authorities where try Self.parsed(authority, ca).hasMade(certificate) {
        do {
          return try Self.checkDates(authority, ca, now)
        } catch {
          hasExpired = true
        }
      }
      if hasExpired { throw TLSFileError(description: "the authority of \(files.chain) in \(ca) is not valid now") }
      guard let next = intermediates.popFirst() else { break }
      let issuer = try Self.parsed(next, files.chain)
      guard issuer.hasMade(certificate) else { break }
      try Self.checkDates(next, files.chain, now)
      certificate = issuer
    }
    throw TLSFileError(description: "\(files.chain) was not made by an authority in \(ca)")
  }

  private static func parsed(_ certificate: NIOSSLCertificate, _ path: String) throws(TLSFileError) -> Certificate {
    guard let bytes = try? certificate.toDERBytes(), let parsed = try? Certificate(derEncoded: bytes) else {
      throw TLSFileError(description: "\(path) cannot be read as a certificate")
    }
    return parsed
  }

  private static func checkDates(_ certificate: NIOSSLCertificate, _ path: String, _ now: Int) throws(TLSFileError) {
    let (first, last) = (Int(certificate.notValidBefore), Int(certificate.notValidAfter))
    if last < now { throw TLSFileError(description: "\(path) has expired, at \(text(last))") }
    if first > now { throw TLSFileError(description: "\(path) is not valid before \(text(first))") }
  }

  /// `2026-11-22T22:15:00Z`
  private static func text(_ seconds: Int) -> String {
    var moment = time_t(seconds)
    var text = [CChar](repeating: 0, count: 32)
    let length = withUnsafeTemporaryAllocation(of: tm.self, capacity: 1) { parts in
      guard let parts = parts.baseAddress, gmtime_r(&moment, parts) != nil else { return 0 }
      return strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", parts)
    }
    return String(decoding: text.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

extension Certificate {
  /// It is an authority's, and signed the other.
  fileprivate func hasMade(_ other: Certificate) -> Bool {
    guard subject == other.issuer, case .isCertificateAuthority? = try? extensions.basicConstraints else {
      return false
    }
    return publicKey.isValidSignature(other.signature, for: other)
  }
}
