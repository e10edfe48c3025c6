import HTTP2
import NIOCore
import NIOPosix
import NIOSSL
import RPC
import Synchronization
import Testing

/// What a client's requests say about the connection they came over.
@Suite(.timeLimit(.minutes(2)))
struct TLSSchemeTests {
  /// Keeps the scheme of each request, and refuses it.
  /// `@unchecked Sendable`: one serves one channel, on its loop.
  private final class Handler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let session: Session
    private let schemes: Lines

    init(_ schemes: Lines) throws {
      session = try Session(.server)
      self.schemes = schemes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      try? session.receive(unwrapInboundIn(data))
      for case .headers(let headers) in session.takeEvents() {
        schemes.add(headers.block[":scheme"] ?? "none")
        try? session.respond(stream: headers.stream, headers: [":status": "200", "grpc-status": "12"], output: nil)
      }
      var buffer = ByteBuffer()
      try? session.drain(into: &buffer, limit: .max)
      context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }
  }

  @Test(arguments: [(false, "http"), (true, "https")])
  func scheme(isSecure: Bool, expected: String) async throws {
    let authority = try TestAuthority()
    let files = try authority.issue(service: "progress")
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(files.chain).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
    configuration.applicationProtocols = ["h2"]
    let context = try NIOSSLContext(configuration: configuration)
    let schemes = Lines()
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if isSecure { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context)) }
          try channel.pipeline.syncOperations.addHandler(Handler(schemes))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    var options = ClientOptions()
    if isSecure { options.tls = try ClientTLS(trust: .ca(file: authority.file)) }
    let client = Client(host: "127.0.0.1", port: listener.localAddress?.port ?? 0, options: options)
    #expect(await status { try await client.unary(Echo.say, "x") }?.code == .unimplemented)
    #expect(schemes.all == [expected])
    await client.close()
    try await listener.close()
  }
}
