import NIOCore
import NIOPosix
import NIOSSL
import RPC
import TestSupport
import Testing

/// Peers that do not get as far as HTTP/2 over TLS.
@Suite(.timeLimit(.minutes(2)))
struct TLSHandshakeTests {
  private let authority: TestAuthority
  private let tls: ServerTLS

  init() throws {
    authority = try TestAuthority()
    tls = try ServerTLS(certificate: authority.issue(service: "progress"))
  }

  @Test func aSilentPeerIsCutOff() async throws {
    let log = Lines()
    try await withTLSServer(tls, handshakeTimeout: .milliseconds(100), log: log) { (address) async throws in
      let peer = try await RawPeer.connect(to: address)
      #expect(try await peer.goAwayAndClose() == nil)
      #expect(log.all.count == 1)
      #expect(log.text.contains("TLS: the handshake was not finished in time"))
    }
  }

  /// A ClientHello that comes a byte at a time does not buy more time.
  @Test func aSlowHandshakeIsCutOff() async throws {
    let log = Lines()
    try await withTLSServer(tls, handshakeTimeout: .milliseconds(200), log: log) { (address) async throws in
      let peer = try await RawPeer.connect(to: address)
      peer.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03])
      try await eventually("the server hangs up") {
        peer.send([0])
        return !peer.isOpen
      }
      #expect(log.text.contains("TLS: the handshake was not finished in time"))
    }
  }

  @Test func garbageIsCutOff() async throws {
    let log = Lines()
    try await withTLSServer(tls, log: log) { (address) async throws in
      let request = Array("GET / HTTP/1.1\r\n\r\n".utf8)
      for garbage in [request, [UInt8](repeating: 0, count: 64), [0x16, 3, 1, 0, 2, 9, 9]] {
        let peer = try await RawPeer.connect(to: address)
        peer.send(garbage + [UInt8](repeating: 0, count: 16_384))
        _ = try await peer.goAwayAndClose()
      }
      try await eventually("a line for each") { log.all.count == 3 }
      #expect(log.all.allSatisfy { $0.contains("TLS: ") })
    }
  }

  /// Whoever looks whether the port is open fills no log.
  @Test func aPeerThatGoesAwayIsNoNews() async throws {
    let log = Lines()
    try await withTLSServer(tls, log: log) { (address) async throws in
      let peer = try await RawPeer.connect(to: address)
      await peer.close()
      // One that is refused later has its line, so the first has had its chance.
      let garbage = try await RawPeer.connect(to: address)
      garbage.send([UInt8](repeating: 0, count: 64))
      _ = try await garbage.goAwayAndClose()
      try await eventually("a line") { !log.all.isEmpty }
    }
    #expect(log.all.count == 1, "\(log.all)")
  }

  @Test func aServerThatNeverAnswersIsGivenUp() async throws {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    var options = ClientOptions()
    options.tls = try ClientTLS(trust: .ca(file: authority.file))
    options.connectTimeout = .milliseconds(100)
    let client = Client(host: "127.0.0.1", port: listener.localAddress?.port ?? 0, options: options)
    let failed = await status { try await client.unary(Echo.say, "") }
    #expect(failed?.code == .unavailable)
    #expect(failed?.message.contains("TLS: the handshake was not finished in time") == true, "\(failed as Any)")
    await client.close()
    try await listener.close()
  }

  /// Finishes the handshake, and does not speak of HTTP/2 there.
  @Test(arguments: [[], ["http/1.1"]])
  func aClientWithoutALPNIsClosed(protocols: [String]) async throws {
    let log = Lines()
    try await withTLSServer(tls, log: log) { (address) async throws in
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.applicationProtocols = protocols
      configuration.trustRoots = .file(authority.file)
      let context = try NIOSSLContext(configuration: configuration)
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            let handler = try NIOSSLClientHandler(context: context, serverHostname: nil)
            try channel.pipeline.syncOperations.addHandler(handler)
          }
        }
        .connect(host: address.host, port: address.port).get()
      try await channel.closeFuture.get()
      #expect(log.text.contains("the client did not agree to HTTP/2"))
    }
  }

  @Test func aServerWithoutALPNIsNotUsed() async throws {
    let files = try authority.issue(service: "progress")
    let context = try NIOSSLContext(
      configuration: .makeServerConfiguration(
        certificateChain: NIOSSLCertificate.fromPEMFile(files.chain).map { .certificate($0) },
        privateKey: .privateKey(NIOSSLPrivateKey(file: files.key, format: .pem))))
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    var options = ClientOptions()
    options.tls = try ClientTLS(trust: .ca(file: authority.file))
    let client = Client(host: "127.0.0.1", port: listener.localAddress?.port ?? 0, options: options)
    let failed = await status { try await client.unary(Echo.say, "") }
    await client.close()
    #expect(failed?.code == .unavailable)
    #expect(failed?.message.contains("the server did not agree to HTTP/2 (ALPN") == true)
    try await listener.close()
  }

  /// The version is the only thing that these do not share.
  @Test func theOldestVersionIsAnOption() async throws {
    let trust = ClientTLS.Trust.ca(file: authority.file)
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.applicationProtocols = ["h2"]
    configuration.trustRoots = .file(authority.file)
    configuration.maximumTLSVersion = .tlsv12
    let old = try NIOSSLContext(configuration: configuration)
    let log = Lines()
    try await withTLSServer(tls, log: log) { (address) async throws in
      let refused = await #expect(throws: (any Error).self) { try await handshake(old, address) }
      #expect(refused != nil)
      try await eventually("a line") { log.text.contains("offers no version of TLS that is allowed here") }
    }
    let lenient = try ServerTLS(certificate: tls.certificate, minimumVersion: .tls12)
    try await withTLSServer(lenient) { (address) async throws in
      let version = try await handshake(old, address)
      #expect(version == .tlsv12)
      #expect(try await ask(address, ClientTLS(trust: trust)) == "nobody")
    }
  }

  /// The version that was agreed on.
  private func handshake(_ context: NIOSSLContext, _ address: BoundAddress) async throws -> TLSVersion? {
    let done = HandshakeDone(MultiThreadedEventLoopGroup.singleton.next().makePromise())
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let handler = try NIOSSLClientHandler(context: context, serverHostname: nil)
          try channel.pipeline.syncOperations.addHandlers(handler, done)
        }
      }
      .connect(host: address.host, port: address.port).get()
    defer { channel.close(promise: nil) }
    try await done.promise.futureResult.get()
    return try await channel.nioSSL_tlsVersion().get()
  }
}

/// Tells whether a handshake came to its end.
private final class HandshakeDone: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  let promise: EventLoopPromise<Void>

  init(_ promise: EventLoopPromise<Void>) { self.promise = promise }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) { promise.succeed(()) }
  func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
  func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
}
