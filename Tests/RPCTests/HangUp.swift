import NIOCore
import NIOPosix

/// A listener that answers everyone with the same bytes and hangs up.
struct HangUp {
  let channel: any Channel
  var port: Int { channel.localAddress?.port ?? 0 }

  private final class Handler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let answer: ByteBuffer
    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let channel = context.channel
      context.writeAndFlush(wrapOutboundOut(answer))
        .whenComplete { _ in channel.close(promise: nil) }
    }
  }

  static func start(_ answer: String = "HTTP/1.1 400 Bad Request\r\n\r\n") async throws -> HangUp {
    try await start(bytes: Array(answer.utf8))
  }

  static func start(bytes: [UInt8]) async throws -> HangUp {
    let answer = ByteBuffer(bytes: bytes)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { $0.pipeline.addHandler(Handler(answer)) }
      .bind(host: "127.0.0.1", port: 0).get()
    return HangUp(channel: channel)
  }

  func stop() async { try? await channel.close() }
}
