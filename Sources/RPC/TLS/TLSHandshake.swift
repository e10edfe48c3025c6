import Glibc
import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler until the handshake is over, judges its result, and leaves: no byte of a call passes
/// it. A connection that does not pass is closed with a `TLSFailure`, and nothing it sent is looked at.
final class TLSHandshake: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer

  static let http2 = "h2"

  private let tls: NIOSSLHandler
  private let peer: TLSFailure.Peer
  private let timeout: Duration?
  /// Gets the certificate of a peer whose handshake succeeded. Throws `TLSFailure`.
  private let judge: (NIOSSLCertificate?) throws -> Void
  private var timer: Scheduled<Void>?
  private var hasFailed = false

  /// - Parameter timeout: When a handshake that is still going on is given up; nil where somebody else does that.
  init(
    _ tls: NIOSSLHandler, peer: TLSFailure.Peer, timeout: Duration?,
    judge: @escaping (NIOSSLCertificate?) throws -> Void
  ) {
    self.tls = tls
    self.peer = peer
    self.timeout = timeout
    self.judge = judge
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard let timeout else { return }
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout.timeAmount) {
      self.fail(TLSFailure.late, context)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    do {
      guard negotiated == Self.http2 else {
        throw TLSFailure("\(peer.rawValue) did not agree to HTTP/2 (ALPN \"h2\", but \(negotiated ?? "nothing"))")
      }
      try judge(tls.peerCertificate)
      context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    } catch {
      fail(error, context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(error, context) }

  /// Without an error before: this side closed the channel.
  func channelInactive(context: ChannelHandlerContext) {
    if timeout == nil { fail(TLSFailure.late, context) }
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

  /// Tells the connection, which closes the channel. What comes after that is of no interest.
  private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
    guard !hasFailed else { return }
    hasFailed = true
    timer?.cancel()
    context.fireErrorCaught(
      TLSFailure(handshake: error, peer: peer, certificate: tls.peerCertificate, now: Int(time(nil))))
  }
}
