import HTTP2
import NIOCore
import NIOPosix

/// A server of frames: it says what it is told to each request, right or wrong.
struct FrameServer {
  let channel: any Channel
  var port: Int { channel.localAddress?.port ?? 0 }

  /// Told what arrived: a request's headers, a chunk of its body, its end. What it returns is written as it stands.
  typealias Answer = @Sendable (Session, Event) throws -> [UInt8]?

  /// `@unchecked Sendable`: each instance serves one channel, on its loop.
  private final class Handler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let session: Session
    let answer: Answer

    init(_ answer: @escaping Answer) throws {
      session = try Session(.server)
      self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      do {
        try session.receive(unwrapInboundIn(data))
        var raw: [UInt8] = []
        for event in session.takeEvents() { raw += try answer(session, event) ?? [] }
        var buffer = ByteBuffer()
        try session.drain(into: &buffer, limit: .max)
        buffer.writeBytes(raw)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        if !session.isAlive { context.close(promise: nil) }
      } catch {
        context.close(promise: nil)
      }
    }
  }

  static func start(_ answer: @escaping Answer) async throws -> FrameServer {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(answer)) }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return FrameServer(channel: channel)
  }

  func stop() async { try? await channel.close() }
}

extension Session {
  /// One message and OK.
  func answer(_ stream: Int32, _ text: String) throws {
    let output = StreamOutput()
    var body = ByteBuffer()
    body.writeInteger(UInt8(0))
    body.writeInteger(UInt32(text.utf8.count))
    body.writeString(text)
    output.append(body)
    output.end(trailers: ["grpc-status": "0"])
    try respond(stream: stream, headers: [":status": "200", "content-type": "application/grpc"], output: output)
  }
}
