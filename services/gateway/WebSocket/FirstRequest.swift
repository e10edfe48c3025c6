import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1

/// Looks at the first line of a connection's first request, sets up what it asks for, and hands on every byte.
///
/// Only a connection's first request can make it a WebSocket. Browsers open a connection for each; on one that was used
/// for something else before, `/ws` answers 426.
final class FirstRequest: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  /// A longer line is for HTTP's decoder to refuse.
  private static let maximumLine = 16 << 10

  private let http: HTTP1Channel
  private let sockets: WebSockets
  private let logger: Logger
  private let kind: EventLoopPromise<GatewayChannel.Kind>
  private var received = ByteBuffer()
  private var isDecided = false
  private var timer: Scheduled<Void>?

  init(
    http: HTTP1Channel, sockets: WebSockets, logger: Logger, kind: EventLoopPromise<GatewayChannel.Kind>
  ) {
    self.http = http
    self.sockets = sockets
    self.logger = logger
    self.kind = kind
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard let idle = http.configuration.idleTimeout else { return }
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: idle) { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    if !isDecided { kind.fail(ChannelError.eof) }
    isDecided = true
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    received.writeBuffer(&bytes)
    guard !isDecided, let isSocket = isSocketRequest else { return }
    isDecided = true
    timer?.cancel()
    if isSocket { becomeWebSocket(context) } else { becomeHTTP(context) }
  }

  /// Nothing was asked yet, so nothing is lost.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ChannelShouldQuiesceEvent, ChannelEvent.inputClosed: context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  /// Whether the request is for `/ws`; nil while its first line is not there.
  private var isSocketRequest: Bool? {
    let bytes = received.readableBytesView
    guard zip(bytes, "GET ".utf8).allSatisfy({ $0 == $1 }) else { return false }
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
      return bytes.count > Self.maximumLine ? false : nil
    }
    let words = bytes[..<end].split(separator: UInt8(ascii: " "))
    guard words.count == 3 else { return false }
    return targetPath(String(decoding: words[1], as: UTF8.self)) == WebSockets.path
  }

  private func becomeHTTP(_ context: ChannelHandlerContext) {
    http.setup(channel: context.channel, logger: logger).assumeIsolated().whenComplete { result in
      switch result {
      case .success(let value):
        self.kind.succeed(.http(value))
        self.handOn(context)
      case .failure(let error): self.fail(error, context)
      }
    }
  }

  private func becomeWebSocket(_ context: ChannelHandlerContext) {
    do {
      try WebSocketHandshake.add(to: context.pipeline.syncOperations, http.configuration.httpDecoder, sockets)
      kind.succeed(.webSocket)
      handOn(context)
    } catch {
      fail(error, context)
    }
  }

  private func handOn(_ context: ChannelHandlerContext) {
    context.fireChannelRead(wrapInboundOut(received))
    context.pipeline.syncOperations.removeHandler(self, promise: nil)
  }

  private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
    kind.fail(error)
    context.close(promise: nil)
  }
}

/// The path in a request's target, absolute or not, without its query.
func targetPath(_ target: String) -> String {
  var path = target[...]
  if !target.hasPrefix("/"), let slashes = target.firstRange(of: "://") {
    path = target[slashes.upperBound...].drop { $0 != "/" }
  }
  return String(path.prefix { $0 != "?" && $0 != "#" })
}
