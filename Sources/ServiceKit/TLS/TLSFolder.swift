import Foundation
public import RPC

/// The certificates between services, as `buddy certs init` makes them: `ca.crt` and, for each name, `NAME.crt` and
/// `NAME.key`, whose certificate says `spiffe://buddy/NAME`.
public struct TLSFolder: Sendable, Hashable {
  public let path: String

  /// The command's own name among those of the services.
  public static let command = "cli"

  /// The authority's, whose key is not needed where services run.
  public static let authorityName = "ca"

  public init(_ path: String) { self.path = path }

  public static func id(_ name: String) -> String { "spiffe://buddy/\(name)" }

  public var authority: String { certificate(Self.authorityName).chain }
  public func certificate(_ name: String) -> CertificateFiles {
    CertificateFiles(chain: "\(path)/\(name).crt", key: "\(path)/\(name).key")
  }

  /// What a certificate here must be: valid, of this folder's authority, and for that name.
  private func own(_ name: String) -> OwnCertificate { OwnCertificate(ca: authority, spiffeID: Self.id(name)) }

  /// What to say where others than their owner can read the name's private key; nil where they cannot.
  public func exposedKey(_ name: String) -> String? {
    let path = certificate(name).key
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let attributes = try? FileManager.default.attributesOfItem(atPath: target)
    guard let mode = (attributes?[.posixPermissions] as? NSNumber)?.intValue, mode & 0o077 != 0 else { return nil }
    return "other users of this machine can read or change \(path): chmod 600 \(path)"
  }

  /// What a service's port demands: a certificate of our own authority from everybody.
  public func server(
    _ name: ServiceName, log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(TLSFileError) -> ServerTLS {
    try ServerTLS(
      certificate: certificate(name.rawValue), own: own(name.rawValue), clientCertificates: .required(ca: authority),
      log: log)
  }

  /// How the service or command of that name talks to another service, whose SPIFFE id is verified.
  public func client(
    _ name: String, of peer: ServiceName, log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(TLSFileError) -> ClientTLS {
    try ClientTLS(
      trust: .ca(file: authority), certificate: certificate(name), own: own(name),
      verification: .spiffe(Self.id(peer.rawValue)), log: log)
  }
}
