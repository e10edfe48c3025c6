import HTTP2
import NIOCore
import NIOPosix
import RPC

/// A server of frames, for answers that no right server gives.
enum RawServer {
  /// `@unchecked Sendable`: each instance serves one channel, on its loop.
  private final class Handler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let session: Session
    let answer: @Sendable (Session, Int32) throws -> Void

    init(_ answer: @escaping @Sendable (Session, Int32) throws -> Void) throws {
      session = try Session(.server)
      self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      do {
        try session.receive(unwrapInboundIn(data))
        for event in session.takeEvents() {
          switch event {
          case .headers(let headers) where headers.endStream: try answer(session, headers.stream)
          case .end(let stream): try answer(session, stream)
          default: break
          }
        }
        var buffer = ByteBuffer()
        try session.drain(into: &buffer, limit: .max)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        if !session.isAlive { context.close(promise: nil) }
      } catch {
        context.close(promise: nil)
      }
    }
  }

  /// What a client makes of a server that answers each complete request with what `answer` does.
  /// - Returns: The status that the call fails with; nil if it succeeds.
  static func outcome(
    _ options: ClientOptions = .init(), _ answer: @escaping @Sendable (Session, Int32) throws -> Void
  ) async throws -> Status? {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(answer)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let client = Client(host: "127.0.0.1", port: channel.localAddress?.port ?? 0, options: options)
    let result = await status { try await client.unary(Echo.say, "a") }
    await client.close()
    try await channel.close()
    return result
  }
}
