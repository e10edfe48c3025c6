import Hummingbird
import HummingbirdCore
import NIOCore
import NIOHTTP1
import NIOWebSocket
import RPC

/// Answers the request for `/ws`: switches the connection to WebSocket (RFC 6455 §4.2), or refuses and closes.
final class WebSocketHandshake: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = HTTPServerResponsePart

  /// How long the request may take to arrive, and a refusal to reach the client.
  private static let patience: TimeAmount = .seconds(10)

  private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
  private let encoder: HTTPResponseEncoder
  private let sockets: WebSockets
  private var head: HTTPRequestHead?
  private var hasBody = false
  private var isAnswered = false
  /// What came behind the request.
  private var early: [NIOAny] = []
  private var timer: Scheduled<Void>?

  private init(
    _ decoder: ByteToMessageHandler<HTTPRequestDecoder>, _ encoder: HTTPResponseEncoder, _ sockets: WebSockets
  ) {
    self.decoder = decoder
    self.encoder = encoder
    self.sockets = sockets
  }

  /// Adds what reads one request.
  static func add(
    to pipeline: ChannelPipeline.SynchronousOperations, _ limits: HTTP1Channel.Configuration.DecoderConfiguration,
    _ sockets: WebSockets
  ) throws {
    var configuration = NIOHTTPDecoderLimitConfiguration()
    configuration.maxHeaderFieldSize = limits.maxHeaderFieldSize
    configuration.maxHeaderListSize = limits.maxHeaderListSize
    configuration.maxHeaderFieldCount = limits.maxHeaderFieldCount
    let encoder = HTTPResponseEncoder()
    let decoder = ByteToMessageHandler(
      HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: configuration))
    try pipeline.addHandlers([encoder, decoder, WebSocketHandshake(decoder, encoder, sockets)])
  }

  func handlerAdded(context: ChannelHandlerContext) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isAnswered { return early.append(data) }
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: hasBody = true
    case .end:
      isAnswered = true
      guard let head else { return context.close(promise: nil) }
      do {
        try check(head)
        try sockets.admit()
        accept(head, context)
      } catch {
        refuse(error as? GatewayError ?? .badRequest("The request is malformed."), context)
      }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ChannelShouldQuiesceEvent, ChannelEvent.inputClosed: context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  /// The request is not HTTP, or over a limit.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard !isAnswered else { return context.close(promise: nil) }
    isAnswered = true
    refuse(.badRequest("The request is malformed."), context)
  }

  // MARK: - Checks

  private func check(_ head: HTTPRequestHead) throws {
    let named = targetHost(head.uri).map { [$0] } ?? head.headers["Host"]
    try sockets.hostGuard.checkSocket(
      hosts: head.headers["Host"].count == 1 ? named : head.headers["Host"], origin: head.headers.first(name: "Origin"))
    guard lists(head, "Upgrade", "websocket"), lists(head, "Connection", "upgrade") else { throw Self.needsUpgrade }
    guard head.headers["Sec-WebSocket-Version"] == ["13"] else { throw Self.needsVersion }
    guard !hasBody, head.version == .http1_1, Self.isKey(head.headers["Sec-WebSocket-Key"]) else {
      throw GatewayError.badRequest("The WebSocket handshake is malformed.")
    }
  }

  private func lists(_ head: HTTPRequestHead, _ header: String, _ word: String) -> Bool {
    head.headers[canonicalForm: header].contains { $0.lowercased() == word }
  }

  /// Sixteen bytes in base64.
  private static func isKey(_ values: [String]) -> Bool {
    guard values.count == 1, values[0].utf8.count == 24, values[0].hasSuffix("==") else { return false }
    return values[0].dropLast(2).utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"): true
      default: false
      }
    }
  }

  static let needsUpgrade = GatewayError(
    status: .upgradeRequired, code: "UPGRADE_REQUIRED",
    message: "This is a WebSocket: ask with Upgrade: websocket, as a new connection's first request.",
    headers: [.upgrade: "websocket", .connection: "close"])
  private static let needsVersion = GatewayError(
    status: .upgradeRequired, code: "UPGRADE_REQUIRED", message: "Only version 13 of the WebSocket protocol is spoken.",
    headers: [.upgrade: "websocket", .secWebSocketVersion: "13"])

  // MARK: - Answers

  private func refuse(_ error: GatewayError, _ context: ChannelHandlerContext) {
    var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: error.status.code))
    for field in error.headers { head.headers.replaceOrAdd(name: field.name.rawName, value: field.value) }
    let body = ByteBuffer(string: error.json)
    head.headers.replaceOrAdd(name: "Content-Type", value: "application/json")
    head.headers.replaceOrAdd(name: "Content-Length", value: "\(body.readableBytes)")
    head.headers.replaceOrAdd(name: "X-Content-Type-Options", value: "nosniff")
    head.headers.replaceOrAdd(name: "Connection", value: "close")
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    // The client closes when it has read the answer; at the latest the timer does.
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.close(mode: .output, promise: nil)
  }

  private func accept(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let upgrader = NIOTypedWebSocketServerUpgrader<Void>(
      shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
      upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
    let answer = upgrader.buildUpgradeResponse(
      channel: context.channel, upgradeRequest: head, initialResponseHeaders: [:])
    answer.hop(to: context.eventLoop).assumeIsolated().whenComplete { result in
      guard case .success(let headers) = result else {
        self.sockets.dismiss()
        return self.refuse(.badRequest("The WebSocket handshake is malformed."), context)
      }
      // The decoder goes first, for what follows the request is not HTTP; it hands on what it has of that.
      context.pipeline.syncOperations.removeHandler(self.decoder).assumeIsolated().whenComplete { _ in
        self.switchOver(headers, context)
      }
    }
  }

  private func switchOver(_ headers: HTTPHeaders, _ context: ChannelHandlerContext) {
    guard context.channel.isActive else { return sockets.dismiss() }
    let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
    context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
    let pipeline = context.pipeline.syncOperations
    pipeline.removeHandler(encoder, promise: nil)
    do {
      try sockets.configure(context.channel)
      try pipeline.addHandlers([
        ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: sockets.options.maximumFrame)),
        WebSocketHandler(sockets: sockets, loop: sockets.loop(context.eventLoop)),
      ])
    } catch {
      sockets.dismiss()
      return context.close(promise: nil)
    }
    for data in early { context.fireChannelRead(data) }
    pipeline.removeHandler(self, promise: nil)
  }
}
