import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Three things about request bodies that have to happen on the connection, before a route sees the request.
///
/// A client that asks first (`Expect: 100-continue`, as curl does for large files) is told to go on, unless it
/// announces more than any route takes. A client that goes on sending after it was refused is cut off: the server
/// reads and drops what is left of a refused body, but neither without end nor for ever. And a body that trickles in
/// makes its request fail with 408: every byte keeps the connection from being idle, so only the whole body's time
/// tells. An upload may take its time until it is answered; while no byte of it comes, the connection is idle.
///
/// A body that breaks off needs nothing here: NIO's decoder makes an error of it.
final class BodyGate: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  /// What may still come after the limit is passed, while the refusal is on its way.
  private static let grace = 16 << 20
  /// How long the answer 408 has to reach the client.
  private static let farewell: TimeAmount = .seconds(1)

  private let maximumBytes: Int
  private let timeout: TimeAmount
  private var received = 0
  /// True from a request's head to its end.
  private var isReceiving = false
  /// Requests that are not answered yet; more than one if the client does not wait for answers.
  private var unanswered = 0
  private var timer: Scheduled<Void>?

  /// - Parameters:
  ///   - maximumBytes: the most that any route takes.
  ///   - timeout: how long a body may take to arrive, other than an upload's.
  init(maximumBytes: Int, timeout: Duration) {
    self.maximumBytes = maximumBytes
    self.timeout = TimeAmount(timeout)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      received = 0
      isReceiving = true
      unanswered += 1
      if isExpecting(head) {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
      if hasBody(head), !isUpload(head) { startTimer(context) }
    case .body(let bytes):
      received += bytes.readableBytes
      if received - maximumBytes > Self.grace { return context.close(promise: nil) }
    case .end:
      isReceiving = false
      stopTimer()
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    if case .end = unwrapOutboundIn(data) {
      unanswered -= 1
      if unanswered == 0, isReceiving, timer == nil { startTimer(context) }
    }
    context.write(data, promise: promise)
  }

  func channelInactive(context: ChannelHandlerContext) {
    stopTimer()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    stopTimer()
  }

  private func startTimer(_ context: ChannelHandlerContext) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { self.timeIsUp(context) }
  }

  private func stopTimer() {
    timer?.cancel()
    timer = nil
  }

  private func timeIsUp(_ context: ChannelHandlerContext) {
    // While an earlier request is worked on, the server may have stopped reading by itself.
    if unanswered > 1 { return startTimer(context) }
    context.fireErrorCaught(GatewayError.bodyTimeout)
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.farewell) { context.close(promise: nil) }
  }

  private func hasBody(_ head: HTTPRequest) -> Bool {
    head.headerFields[.transferEncoding] != nil || ![nil, "0"].contains(head.headerFields[.contentLength])
  }

  private func isUpload(_ head: HTTPRequest) -> Bool {
    head.method == .post && head.path?.prefix { $0 != "?" } == ArtifactRoutes.uploadPath[...]
  }

  private func isExpecting(_ head: HTTPRequest) -> Bool {
    guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return false }
    return head.headerFields[.contentLength].flatMap { Int($0) }.map { $0 <= maximumBytes } ?? true
  }
}
