import NIOCore
import NIOSSL

/// A server's TLS: its certificate, and what it asks of clients. A client that does not agree to HTTP/2 (ALPN `h2`) is
/// closed. Files are read again when they change, for new connections; see `reloadInterval`.
public struct ServerTLS: Sendable {
  /// What clients have to show.
  public enum ClientCertificates: Sendable, Hashable {
    /// They are not asked.
    case none
    /// They may show a certificate; one that is not from a CA in this PEM file ends the connection.
    case optional(ca: String)
    /// They must show a certificate from a CA in this PEM file (mutual TLS).
    case required(ca: String)

    var ca: String? {
      switch self {
      case .none: nil
      case .optional(let ca), .required(let ca): ca
      }
    }
  }

  public let certificate: CertificateFiles
  public let clientCertificates: ClientCertificates
  public let minimumVersion: MinimumTLSVersion
  public let reloadInterval: Duration
  private let contexts: TLSContexts

  /// Reads the files, so that what is wrong with them shows here: not for an event loop.
  /// - Parameters:
  ///   - own: What the certificate must be. Unless given, clients alone judge it, and a new authority of clients is
  ///     taken over beside it, whatever it is.
  ///   - minimumVersion: TLS 1.3 unless given.
  ///   - reloadInterval: How often the files are looked at. New ones are used for new connections; unusable ones are
  ///     not, and the old certificates stay until they are. 10 ms at least.
  ///   - log: Gets a line when files were read again, or could not be.
  /// - Throws: `TLSFileError`.
  public init(
    certificate: CertificateFiles, own: OwnCertificate? = nil, clientCertificates: ClientCertificates = .none,
    minimumVersion: MinimumTLSVersion = .tls13, reloadInterval: Duration = .seconds(10),
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(TLSFileError) {
    self.certificate = certificate
    self.clientCertificates = clientCertificates
    self.minimumVersion = minimumVersion
    self.reloadInterval = reloadInterval
    var files = [certificate.chain, certificate.key, clientCertificates.ca].compactMap { $0 }
    if let own, !files.contains(own.ca) { files.append(own.ca) }
    contexts = try TLSContexts(files: files, reloadInterval: reloadInterval, log: log) { () throws(TLSFileError) in
      let chain = try PEMFile.certificates(certificate.chain)
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(try PEMFile.key(certificate.key)))
      configuration.restrict(to: minimumVersion)
      try own?.check(certificate)
      if let ca = clientCertificates.ca {
        configuration.trustRoots = .certificates(try PEMFile.certificates(ca))
        configuration.sendCANameList = true
        if case .required = clientCertificates {
          configuration.certificateVerification = .noHostnameVerification
        } else {
          configuration.certificateVerification = .optionalVerification
        }
      }
      return try configuration.context(certificate)
    }
  }

  /// Puts TLS in front of the handlers that are added to the channel after this.
  /// - Parameters:
  ///   - timeout: For the handshake.
  ///   - established: Gets, before the first byte, who the client is.
  func add(
    to channel: any Channel, timeout: Duration, established: @escaping (PeerIdentity?) -> Void
  ) throws {
    let tls = NIOSSLServerHandler(context: contexts.current)
    try channel.pipeline.syncOperations.addHandler(tls)
    let handshake = TLSHandshake(tls, peer: .client, timeout: timeout) { certificate in
      established(try certificate.map { try PeerIdentity($0) })
    }
    try channel.pipeline.syncOperations.addHandler(handshake)
  }
}
