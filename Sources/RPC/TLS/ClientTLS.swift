import NIOCore
import NIOSSL

/// A client's TLS: whom it trusts, and the certificate it shows. A server that does not agree to HTTP/2 (ALPN `h2`) is
/// not used. Files are read again when they change, for new connections; see `reloadInterval`. Clients may share one.
public struct ClientTLS: Sendable {
  /// Who may vouch for a server.
  public enum Trust: Sendable, Hashable {
    /// The system's certificate authorities.
    case systemRoots
    /// Those in this PEM file, and no others.
    case ca(file: String)
  }

  /// What a server's certificate must say, beside being from a trusted CA and valid.
  public enum Verification: Sendable, Hashable {
    /// The name of the server among its DNS names, or its address, where it is called by that, among its IP addresses.
    /// A common name does not count (RFC 9525).
    case name
    /// Exactly this SPIFFE id: `spiffe://buddy/progress`. Its names do not matter.
    case spiffe(String)
  }

  public let trust: Trust
  public let certificate: CertificateFiles?
  public let verification: Verification
  public let serverName: String?
  public let minimumVersion: MinimumTLSVersion
  public let reloadInterval: Duration
  private let contexts: TLSContexts

  /// Reads the files, so that what is wrong with them shows here: not for an event loop.
  /// - Parameters:
  ///   - certificate: What the client shows a server that asks (mutual TLS).
  ///   - own: What that certificate must be. Unless given, servers alone judge it, and a new authority to trust is
  ///     taken over beside it, whatever it is.
  ///   - serverName: The name to ask for and to verify, instead of the one that the client connects to.
  ///   - minimumVersion: TLS 1.3 unless given.
  ///   - reloadInterval: How often the files are looked at. New ones are used for new connections; unusable ones are
  ///     not, and the old certificates stay until they are. 10 ms at least.
  ///   - log: Gets a line when files were read again, or could not be.
  /// - Throws: `TLSFileError`.
  public init(
    trust: Trust = .systemRoots, certificate: CertificateFiles? = nil, own: OwnCertificate? = nil,
    verification: Verification = .name, serverName: String? = nil, minimumVersion: MinimumTLSVersion = .tls13,
    reloadInterval: Duration = .seconds(10), log: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(TLSFileError) {
    self.trust = trust
    self.certificate = certificate
    self.verification = verification
    self.serverName = serverName
    self.minimumVersion = minimumVersion
    self.reloadInterval = reloadInterval
    var files = certificate.map { [$0.chain, $0.key] } ?? []
    if case .ca(let file) = trust { files.append(file) }
    if let own, !files.contains(own.ca) { files.append(own.ca) }
    contexts = try TLSContexts(files: files, reloadInterval: reloadInterval, log: log) { () throws(TLSFileError) in
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.restrict(to: minimumVersion)
      // A client closes when all was said: it need not hear goodbye, which not every server says.
      configuration.shutdownTimeout = .zero
      // Whom the certificate is for is judged here, after the handshake.
      configuration.certificateVerification = .noHostnameVerification
      if case .ca(let file) = trust { configuration.trustRoots = .certificates(try PEMFile.certificates(file)) }
      if let certificate {
        configuration.certificateChain = try PEMFile.certificates(certificate.chain).map { .certificate($0) }
        configuration.privateKey = .privateKey(try PEMFile.key(certificate.key))
        try own?.check(certificate)
      }
      return try configuration.context(certificate)
    }
  }

  /// Puts TLS in front of the handlers that are added to the channel after this.
  /// - Parameter serverName: The host that the client connects to, a name or an address.
  func add(to channel: any Channel, serverName host: String) throws {
    let name = serverName ?? host
    // Addresses are not sent (RFC 6066, section 3).
    let tls = try NIOSSLClientHandler(
      context: contexts.current, serverHostname: IPAddress.bytes(name) == nil ? name : nil)
    try channel.pipeline.syncOperations.addHandler(tls)
    // The client's own time for connecting covers the handshake.
    let handshake = TLSHandshake(tls, peer: .server, timeout: nil) { [verification] certificate in
      guard let certificate else { throw TLSFailure("the server showed no certificate") }
      switch verification {
      case .name: try ServerIdentity.verify(certificate, is: name)
      case .spiffe(let expected):
        let id = try PeerIdentity(certificate).spiffeID
        if id != expected { throw TLSFailure("the server is \(id ?? "not known by a SPIFFE id"), not \(expected)") }
      }
    }
    try channel.pipeline.syncOperations.addHandler(handshake)
  }
}
