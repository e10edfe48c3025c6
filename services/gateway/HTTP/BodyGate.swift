import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Two things about request bodies that have to happen on the connection, before a route sees the request.
///
/// A client that asks first (`Expect: 100-continue`, as curl does for large files) is told to go on, unless it
/// announces more than any route takes. And a client that goes on sending after it was refused is cut off: the server
/// reads and drops what is left of a refused body, but not forever.
///
/// A body that breaks off needs nothing here: NIO's decoder makes an error of it.
final class BodyGate: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundOut = HTTPResponsePart

  /// What may still come after the limit is passed, while the refusal is on its way.
  private static let grace = 16 << 20

  private let maximumBytes: Int
  private var received = 0

  init(maximumBytes: Int) {
    self.maximumBytes = maximumBytes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      received = 0
      if isExpecting(head) {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
    case .body(let bytes):
      received += bytes.readableBytes
      if received - maximumBytes > Self.grace { return context.close(promise: nil) }
    case .end:
      break
    }
    context.fireChannelRead(data)
  }

  private func isExpecting(_ head: HTTPRequest) -> Bool {
    guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return false }
    return head.headerFields[.contentLength].flatMap { Int($0) }.map { $0 <= maximumBytes } ?? true
  }
}
