import Glibc
import NIOCore
import NIOSSL

/// Why a connection could not be secured, for people.
struct TLSFailure: Error, CustomStringConvertible {
  let description: String
  /// The peer only went away, as those do that look whether a port is open.
  let isHangUp: Bool

  init(_ reason: String, isHangUp: Bool = false) {
    description = "TLS: \(reason)"
    self.isHangUp = isHangUp
  }
}

extension TLSFailure {
  static let late = TLSFailure("the handshake was not finished in time")

  /// Who the other side is, in messages.
  enum Peer: String {
    case client = "the client"
    case server = "the server"
  }

  /// Of an error during the handshake.
  /// - Parameter certificate: What the peer has shown, judged or not.
  init(handshake error: any Error, peer: Peer, certificate: NIOSSLCertificate?, now: Int) {
    switch error {
    case let failure as TLSFailure: self = failure
    case NIOSSLError.handshakeFailed(let failure): self.init(failure, peer, certificate, now)
    case let failure as BoringSSLError: self.init(failure, peer, certificate, now)
    case NIOSSLError.shutdownFailed: self = .late
    case let failure as IOError:
      self.init("the connection was lost during the handshake: \(failure.reasonText)", isHangUp: true)
    default: self.init("\(error)")
    }
  }

  /// Of an error afterwards; nil where it is none of TLS, or only a hurried goodbye.
  init?(established error: any Error, peer: Peer) {
    switch error {
    case let failure as TLSFailure: self = failure
    case let failure as BoringSSLError: self.init(failure, peer, nil, 0)
    default: return nil
    }
  }

  private init(_ error: BoringSSLError, _ peer: Peer, _ certificate: NIOSSLCertificate?, _ now: Int) {
    guard case .sslError(let stack) = error, let first = stack.first else {
      self.init("\(peer.rawValue) ended the handshake: \(error)")
      return
    }
    if first == .eofDuringHandshake {
      self.init("\(peer.rawValue) closed the connection during the handshake", isHangUp: true)
    } else {
      self.init(Self.text(Self.reason(first.description), peer.rawValue, certificate, now))
    }
  }

  /// The library's name of an error, out of `error:…:SSL routines:OPENSSL_internal:NAME at FILE:LINE`.
  static func reason(_ description: String) -> String {
    let beginning = description.components(before: " at /").components(before: " at <")
    return String(beginning.split(separator: ":").last ?? "").components(before: " at ")
  }

  private static func text(_ reason: String, _ peer: String, _ certificate: NIOSSLCertificate?, _ now: Int) -> String {
    for prefix in ["SSLV3_ALERT_", "TLSV1_ALERT_", "TLSV1_"] where reason.hasPrefix(prefix) {
      return "\(peer) refused the connection: \(words(String(reason.dropFirst(prefix.count))))"
    }
    switch reason {
    case "CERTIFICATE_VERIFY_FAILED": return problem(certificate, peer, now)
    case "PEER_DID_NOT_RETURN_A_CERTIFICATE": return "\(peer) showed no certificate, and one is required"
    case "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_RECORD", "INVALID_ALERT":
      return "\(peer) does not speak TLS"
    case "UNSUPPORTED_PROTOCOL": return "\(peer) offers no version of TLS that is allowed here"
    default: return words(reason)
    }
  }

  /// What is wrong with a certificate that was not accepted. The library does not say.
  private static func problem(_ certificate: NIOSSLCertificate?, _ peer: String, _ now: Int) -> String {
    guard let certificate else { return "\(peer)'s certificate was not accepted" }
    if Int(certificate.notValidAfter) < now { return "\(peer)'s certificate has expired" }
    if Int(certificate.notValidBefore) > now { return "\(peer)'s certificate is not valid yet" }
    return "\(peer)'s certificate is not from a CA that is trusted here (unknown CA), or not for this use"
  }

  private static func words(_ name: String) -> String {
    if name == "UNKNOWN_CA" { return "unknown CA" }
    return name.lowercased().map { $0 == "_" ? " " : String($0) }.joined()
  }
}

extension String {
  /// What stands in front of the first `mark`, or everything.
  fileprivate func components(before mark: String) -> String {
    guard let range = firstRange(of: mark) else { return self }
    return String(self[..<range.lowerBound])
  }
}

extension IOError {
  /// The system's own words: NIO's add where in NIO it came up.
  var reasonText: String { String(cString: strerror(errnoCode)).lowercased() }
}
