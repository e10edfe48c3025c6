import Hummingbird
import Logging
import NIOCore
import NIOWebSocket
import RPC
import ServiceKit

/// One WebSocket after its handshake: takes frames apart, answers what the client asks for, pings, and closes in order
/// (RFC 6455 §5, §7).
///
/// While more waits to be sent than the connection may hold, nothing is read from it either, so that a client that only
/// asks and never reads is bounded too.
final class WebSocketHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let sockets: WebSockets
  private let loop: SocketLoop
  private var context: ChannelHandlerContext?
  private var subscriptions: [String: SocketSubscription] = [:]
  /// The text so far of a message that comes in several frames.
  private var fragments: ByteBuffer?
  /// A close frame went out: nothing else does, and what comes is dropped.
  private var isClosing = false
  private var needsFlush = false
  private var holdsRead = false
  /// Pings since the last sign of life.
  private var unanswered = 0
  private var heartbeat: Scheduled<Void>?

  init(sockets: WebSockets, loop: SocketLoop) {
    self.sockets = sockets
    self.loop = loop
  }

  // MARK: - The connection

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    scheduleBeat(context)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    heartbeat?.cancel()
    self.context = nil
    for subscription in Array(subscriptions.values) { forget(subscription) }
    sockets.dismiss()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ChannelShouldQuiesceEvent: close(.goingAway, "the gateway is stopping")
    case ChannelEvent.inputClosed: context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error as? NIOWebSocketError {
    case .invalidFrameLength: close(.messageTooLarge, "a frame may have \(sockets.options.maximumFrame) bytes")
    case .some: close(.protocolError, "the frame is malformed")
    // The connection broke.
    case nil: context.close(promise: nil)
    }
  }

  func read(context: ChannelHandlerContext) {
    if isWritable || isClosing { context.read() } else { holdsRead = true }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if isWritable {
      if holdsRead {
        holdsRead = false
        context.read()
      }
      for subscription in Array(subscriptions.values) { subscription.fanout?.resume(subscription) }
    }
    context.fireChannelWritabilityChanged()
  }

  private func scheduleBeat(_ context: ChannelHandlerContext) {
    let interval = TimeAmount(sockets.options.heartbeat)
    heartbeat = context.eventLoop.assumeIsolated().scheduleTask(in: interval) { self.beat() }
  }

  /// Without room for a ping there is none, but it counts: who reads nothing for so long is gone.
  private func beat() {
    guard let context, !isClosing else { return }
    guard unanswered < 2 else {
      sockets.logger.debug("a WebSocket's peer is gone")
      return context.close(promise: nil)
    }
    unanswered += 1
    if isWritable { send(SocketFrame.ping()) }
    scheduleBeat(context)
  }

  // MARK: - What goes out

  /// Whether it takes more at the moment.
  var isWritable: Bool { context?.channel.isWritable ?? false }

  /// Writes whole frames.
  /// - Returns: True if somebody has to call `flush` for it.
  func write(_ frames: ByteBuffer) -> Bool {
    guard let context, !isClosing else { return false }
    context.write(wrapOutboundOut(frames), promise: nil)
    defer { needsFlush = true }
    return !needsFlush
  }

  func flush() {
    needsFlush = false
    context?.flush()
  }

  private func send(_ frame: ByteBuffer) {
    if write(frame) { flush() }
  }

  /// Says goodbye, and closes once the peer has answered, or after a while.
  private func close(_ code: WebSocketErrorCode, _ reason: String) {
    guard let context, !isClosing else { return }
    send(SocketFrame.close(code, reason))
    isClosing = true
    fragments = nil
    for subscription in Array(subscriptions.values) { forget(subscription) }
    let limit = TimeAmount(sockets.options.closeTimeout)
    context.eventLoop.assumeIsolated().scheduleTask(in: limit) { context.close(promise: nil) }
    if holdsRead { context.read() }
  }

  // MARK: - What comes in

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    unanswered = 0
    if isClosing {
      if frame.opcode == .connectionClose { context.close(promise: nil) }
      return
    }
    guard frame.maskKey != nil, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
      return close(.protocolError, "the frame is malformed")
    }
    switch frame.opcode {
    case .text, .binary, .continuation: received(frame)
    case .ping: send(SocketFrame.pong(frame.unmaskedData))
    case .pong: break
    case .connectionClose: answerClose(frame.unmaskedData, context)
    default: close(.protocolError, "there is no such kind of frame")
    }
  }

  private func answerClose(_ data: ByteBuffer, _ context: ChannelHandlerContext) {
    var data = data
    // An empty close is answered by an empty one; a code that nobody may send, by 1002.
    let isValid =
      data.readableBytes == 0
      || data.getInteger(at: data.readerIndex, as: UInt16.self).map(Self.mayBeSent) == true
    if !isValid {
      data = ByteBuffer()
      data.write(webSocketErrorCode: .protocolError)
    }
    send(SocketFrame.control(.connectionClose, data.readSlice(length: min(2, data.readableBytes)) ?? ByteBuffer()))
    isClosing = true
    context.close(promise: nil)
  }

  private static func mayBeSent(_ code: UInt16) -> Bool {
    switch code {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }

  private func received(_ frame: WebSocketFrame) {
    guard (frame.opcode == .continuation) == (fragments != nil) else {
      return close(.protocolError, "a fragment is out of place")
    }
    guard frame.opcode != .binary else { return close(.unacceptableData, "only text is taken") }
    var data = frame.unmaskedData
    var text = fragments ?? ByteBuffer()
    fragments = nil
    text.writeBuffer(&data)
    guard text.readableBytes <= sockets.options.maximumFrame else {
      return close(.messageTooLarge, "a message may have \(sockets.options.maximumFrame) bytes")
    }
    if frame.fin { received(text) } else { fragments = text }
  }

  private func received(_ text: ByteBuffer) {
    guard String(validating: text.readableBytesView, as: UTF8.self) != nil else {
      return close(.dataInconsistentWithMessage, "the text is not UTF-8")
    }
    do {
      switch try SocketRequest(Array(text.readableBytesView)) {
      case .subscribe(let request): try subscribe(request)
      case .unsubscribe(let id): subscriptions[id].map(forget)
      case .ping: send(SocketAnswer.pong)
      }
    } catch let refusal as SocketRefusal {
      send(SocketAnswer.error(refusal.error, id: refusal.id))
    } catch {
      send(SocketAnswer.error(.badRequest("The message is not a valid request."), id: nil))
    }
  }

  // MARK: - Subscriptions

  private func subscribe(_ request: SocketSubscribe) throws {
    guard subscriptions[request.id] == nil else {
      // Without the id, for the subscription of this name goes on.
      throw SocketRefusal(
        id: nil,
        error: GatewayError(
          status: .conflict, code: Status.Code.alreadyExists.name,
          message: "There is a subscription \"\(request.id)\" already."))
    }
    guard subscriptions.count < sockets.options.maximumSubscriptions else {
      throw SocketRefusal(
        id: request.id,
        error: GatewayError(
          status: .tooManyRequests, code: Status.Code.resourceExhausted.name,
          message: "A connection may have at most \(sockets.options.maximumSubscriptions) subscriptions."))
    }
    let subscription = SocketSubscription(request, socket: self)
    subscriptions[request.id] = subscription
    sockets.metrics.streamOpened()
    loop.open(subscription)
  }

  func opened(_ subscription: SocketSubscription) { send(SocketAnswer.subscribed(subscription.id)) }

  /// Tells that events up to a position are not kept any more.
  func notKept(_ subscription: SocketSubscription, through pruned: UInt64) {
    send(SocketAnswer.gap(subscription.id, resumeAfter: subscription.cursor.number, notKept: pruned))
  }

  /// Ends `subscription` with an error.
  func refuse(_ subscription: SocketSubscription, _ error: any Error) {
    guard subscription.isOpen else { return }
    forget(subscription)
    let told =
      switch error {
      case let error as GatewayError: error
      case let failure as UpstreamFailure: GatewayError(failure.status, from: failure.service)
      default: GatewayError(Status(.internalError, "\(error)"), from: .gateway)
      }
    send(SocketAnswer.error(told, id: subscription.id))
  }

  /// Ends `subscription` without a word.
  func forget(_ subscription: SocketSubscription) {
    guard subscription.isOpen else { return }
    subscription.fanout?.remove(subscription)
    subscription.state = .closed
    subscription.task?.cancel()
    subscription.backlog = []
    subscriptions[subscription.id] = nil
    sockets.metrics.streamClosed()
  }
}
