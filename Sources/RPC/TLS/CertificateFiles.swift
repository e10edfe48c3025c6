import Glibc
import NIOCore
import NIOSSL
import SwiftASN1
import X509

/// A certificate and its private key, each in a PEM file. Both may be replaced while they are in use.
public struct CertificateFiles: Sendable, Hashable {
  /// The certificate first, then those of the authorities between it and the root, if there are any.
  public let chain: String
  /// The private key of the first certificate, not encrypted.
  public let key: String

  public init(chain: String, key: String) {
    self.chain = chain
    self.key = key
  }
}

/// The oldest version of TLS that is spoken.
public enum MinimumTLSVersion: Sendable, Hashable {
  case tls12
  case tls13
}

/// A file that TLS needs and that cannot be used.
public struct TLSFileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// For people, with the file's name: "cannot read /etc/buddy/ca.crt: no such file or directory".
  public let description: String
}

/// Reads the files. Blocks: not for an event loop.
enum PEMFile {
  static func certificates(_ path: String) throws(TLSFileError) -> [NIOSSLCertificate] {
    try check(path)
    guard let certificates = try? NIOSSLCertificate.fromPEMFile(path), !certificates.isEmpty else {
      throw TLSFileError(description: "\(path) holds no certificate in PEM form")
    }
    return certificates
  }

  static func key(_ path: String) throws(TLSFileError) -> NIOSSLPrivateKey {
    try check(path)
    guard let key = try? NIOSSLPrivateKey(file: path, format: .pem) else {
      throw TLSFileError(description: "\(path) holds no private key in PEM form")
    }
    return key
  }

  private static func check(_ path: String) throws(TLSFileError) {
    // Not to wait for a writer, if it is a pipe.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor < 0 else {
      close(descriptor)
      return
    }
    throw TLSFileError(description: "cannot read \(path): \(String(cString: strerror(errno)).lowercased())")
  }
}

extension TLSConfiguration {
  /// What both sides have in common.
  mutating func restrict(to minimum: MinimumTLSVersion) {
    minimumTLSVersion = minimum == .tls13 ? .tlsv13 : .tlsv12
    // What HTTP/2 allows of TLS 1.2: ephemeral keys and authenticated encryption (RFC 9113, section 9.2.2).
    cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20"
    applicationProtocols = [TLSHandshake.http2]
    // How long a peer may take to say goodbye.
    shutdownTimeout = .seconds(1)
  }

  /// A context of this configuration.
  func context(_ certificate: CertificateFiles?) throws(TLSFileError) -> NIOSSLContext {
    do {
      return try NIOSSLContext(configuration: self)
    } catch NIOSSLError.failedToLoadPrivateKey {
      let files = certificate ?? CertificateFiles(chain: "", key: "")
      throw TLSFileError(description: "the key \(files.key) does not belong to the certificate \(files.chain)")
    } catch NIOSSLError.failedToLoadCertificate {
      let chain = certificate?.chain ?? ""
      let reason = mayNotSign ? ": its key may not sign (key usage); is it an authority's?" : ""
      throw TLSFileError(description: "\(chain) is no certificate to show in TLS\(reason)")
    } catch {
      throw TLSFileError(description: "the certificates cannot be used: \(error)")
    }
  }
  /// The first certificate forbids what a handshake needs of its key (RFC 8446, section 4.4.2.2).
  private var mayNotSign: Bool {
    guard case .certificate(let first)? = certificateChain.first, let bytes = try? first.toDERBytes(),
      let parsed = try? Certificate(derEncoded: bytes), let usage = try? parsed.extensions.keyUsage
    else { return false }
    return !usage.digitalSignature
  }
}
