import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Three things about request bodies that have to happen on the connection, before a route sees the request.
///
/// A client that asks first (`Expect: 100-continue`, as curl does for large files) is told to go on, unless it
/// announces more than any route takes. A client that goes on sending after it was refused is cut off: the server reads
/// and drops what is left of a refused body, but not forever. And a connection that ends inside a body is an error:
/// otherwise the part that came would pass for the whole.
final class BodyGate: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundOut = HTTPResponsePart

  /// What may still come after the limit is passed, while the refusal is on its way.
  private static let grace = 16 << 20

  private let maximumBytes: Int
  private var received = 0
  private var isInsideBody = false

  init(maximumBytes: Int) {
    self.maximumBytes = maximumBytes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      received = 0
      isInsideBody = true
      if isExpecting(head) {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
    case .body(let bytes):
      received += bytes.readableBytes
      if received - maximumBytes > Self.grace { return context.close(promise: nil) }
    case .end:
      isInsideBody = false
    }
    context.fireChannelRead(data)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed { inputEnded(context) }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    inputEnded(context)
    context.fireChannelInactive()
  }

  private func inputEnded(_ context: ChannelHandlerContext) {
    guard isInsideBody else { return }
    isInsideBody = false
    context.fireErrorCaught(HTTPParserError.invalidEOFState)
  }

  private func isExpecting(_ head: HTTPRequest) -> Bool {
    guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return false }
    return head.headerFields[.contentLength].flatMap { Int($0) }.map { $0 <= maximumBytes } ?? true
  }
}
