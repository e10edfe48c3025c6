import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct KeepaliveTests {
  /// Accepts, sends its SETTINGS, and then never answers anything; or, where it says so, sends GOAWAY at a PING.
  private final class SilentServer: Sendable {
    let pings = Counter()
    let requests = Counter()
    private let channel = NIOLockedValueBox<(any Channel)?>(nil)

    /// `@unchecked Sendable`: each instance serves one channel, on its loop.
    private final class Handler: ChannelInboundHandler, @unchecked Sendable {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      let server: SilentServer
      let answersPings: Bool
      let session: Session

      init(_ server: SilentServer, answersPings: Bool) throws {
        self.server = server
        self.answersPings = answersPings
        session = try Session(.server)
      }

      private func flush(_ context: ChannelHandlerContext) {
        var buffer = ByteBuffer()
        try? session.drain(into: &buffer, limit: .max)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
      }

      func channelActive(context: ChannelHandlerContext) { flush(context) }

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        try? session.receive(unwrapInboundIn(data))
        for case .headers in session.takeEvents() { server.requests.add(1) }
        let pings = session.takeFrameCounts().pings
        server.pings.add(pings)
        guard pings > 0, answersPings else { return }
        session.terminate(code: .enhanceYourCalm, reason: "too_many_pings")
        flush(context)
        context.close(promise: nil)
      }
    }

    func start(saysTooMany: Bool = false) async throws -> Int {
      let bound = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Handler(self, answersPings: saysTooMany))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      channel.withLockedValue { $0 = bound }
      return bound.localAddress?.port ?? 0
    }

    func stop() async { try? await channel.withLockedValue { $0 }?.close() }
  }

  private func options(_ interval: Duration, withoutCalls: Bool = false) -> ClientOptions {
    var options = ClientOptions()
    options.keepaliveInterval = interval
    options.keepaliveTimeout = .milliseconds(50)
    options.keepaliveWithoutCalls = withoutCalls
    return options
  }

  @Test func aServerThatFallsSilentLosesItsCalls() async throws {
    let server = SilentServer()
    let client = Client(host: "127.0.0.1", port: try await server.start(), options: options(.milliseconds(50)))
    let status = await status { try await client.unary(Echo.say, "a") }
    #expect(status == Status(.unavailable, "the server did not answer a keepalive PING"))
    #expect(server.requests.value == 1)
    #expect(server.pings.value == 1)
    await client.close()
    await server.stop()
  }

  @Test func withoutCallsNothingIsAskedUnlessPermitted() async throws {
    let quiet = SilentServer()
    let watched = SilentServer()
    let first = Client(host: "127.0.0.1", port: try await quiet.start(), options: options(.milliseconds(10)))
    let second = Client(
      host: "127.0.0.1", port: try await watched.start(), options: options(.milliseconds(10), withoutCalls: true))
    try await first.connect()
    try await second.connect()
    // The second one has lost its connection over a PING; the first, as old as it, has sent none.
    try await eventually("a PING") { watched.pings.value > 0 }
    for await state in second.connectivity where state == .idle { break }
    #expect(quiet.pings.value == 0)
    await first.close()
    await second.close()
    await quiet.stop()
    await watched.stop()
  }

  @Test func aServerThatAnswersIsKept() async throws {
    let server = try await FrameServer.start { _, _ in nil }
    var options = options(.milliseconds(5))
    options.keepaliveTimeout = .seconds(60)
    let client = Client(host: "127.0.0.1", port: server.port, options: options)
    async let answer = client.unary(Echo.say, "a")
    try await eventually("three PINGs") { server.pings >= 3 }
    try await server.perform(on: 1) { try $0.answer(1, "kept") }
    #expect(try await answer == "kept")
    #expect(server.connections == 1)
    await client.close()
    await server.stop()
  }

  @Test func tooManyPingsMeansFewer() async throws {
    let server = SilentServer()
    let client = Client(
      host: "127.0.0.1", port: try await server.start(saysTooMany: true), options: options(.milliseconds(20)))
    let interval = { try await client.look { $0.keepaliveInterval } }
    #expect(try await interval() == 20_000_000)
    let status = await status { try await client.unary(Echo.say, "a") }
    #expect(status?.code == .unavailable)
    #expect(status?.message.contains("too_many_pings") == true)
    #expect(try await interval() == 40_000_000)
    await client.close()
    await server.stop()
  }

  @Test func theDecisions() {
    var keepalive = Keepalive(interval: 100_000_000, timeout: 20_000_000, withoutCalls: false, now: 0)
    #expect(keepalive.check(isInUse: true, now: 60_000_000) == .wait(40_000_000))
    keepalive.heard(now: 90_000_000)
    #expect(keepalive.check(isInUse: true, now: 100_000_000) == .wait(90_000_000))
    #expect(keepalive.check(isInUse: false, now: 190_000_000) == .wait(100_000_000))
    #expect(keepalive.check(isInUse: true, now: 290_000_000) == .ping(20_000_000))
    #expect(keepalive.check(isInUse: true, now: 305_000_000) == .wait(5_000_000))
    keepalive.heard(now: 306_000_000)
    #expect(keepalive.check(isInUse: true, now: 310_000_000) == .wait(96_000_000))
    #expect(keepalive.check(isInUse: true, now: 406_000_000) == .ping(20_000_000))
    #expect(keepalive.check(isInUse: true, now: 426_000_000) == .close)
    var permitted = Keepalive(interval: 5_000_000, timeout: 20_000_000, withoutCalls: true, now: 0)
    #expect(permitted.check(isInUse: false, now: 5_000_000) == .ping(5_000_000))
    #expect(permitted.check(isInUse: false, now: 10_000_000) == .wait(5_000_000))
    #expect(permitted.check(isInUse: false, now: 22_000_000) == .wait(3_000_000))
    #expect(permitted.check(isInUse: false, now: 25_000_000) == .close)
  }
}
