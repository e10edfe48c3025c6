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
    let connections = Counter()
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

      func channelActive(context: ChannelHandlerContext) {
        server.connections.add(1)
        flush(context)
      }

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

  /// Calls that time out, each before a PING is due: what they send themselves, their resets too, is no sign of life.
  @Test func callsThatTimeOutInTurnDoNotHideASilentServer() async throws {
    let server = SilentServer()
    let client = Client(host: "127.0.0.1", port: try await server.start(), options: options(.milliseconds(200)))
    let begin = ContinuousClock.now
    // Longer than a connection may stay silent, many times over.
    while server.connections.value < 2, ContinuousClock.now - begin < .seconds(20) {
      _ = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(20))) }
    }
    #expect(server.pings.value > 0)
    #expect(server.connections.value == 2)
    await client.close()
    await server.stop()
  }

  /// With pauses between them, too: the PING that was due meanwhile goes out with the next call.
  @Test func aCallAfterAPauseAsks() async throws {
    let server = SilentServer()
    var options = options(.milliseconds(20))
    options.keepaliveTimeout = .seconds(60)
    let client = Client(host: "127.0.0.1", port: try await server.start(), options: options)
    try await client.connect()
    let hasSeen = { try await client.look { $0.ready.first?.connections.first?.keepaliveRests } }
    try await eventually("nothing is asked") { try await hasSeen() == true }
    #expect(server.pings.value == 0)
    let call = Task { await status { try await client.unary(Echo.say, "a") } }
    try await eventually("a PING") { server.pings.value == 1 }
    call.cancel()
    #expect(await call.value?.code == .cancelled)
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
    let ms: Int64 = 1_000_000
    var keepalive = Keepalive(interval: 100 * ms, timeout: 20 * ms, withoutCalls: false, now: 0)
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 0) == .wait(25 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 80 * ms) == .wait(20 * ms))
    #expect(keepalive.check(hasHeard: true, isInUse: true, now: 90 * ms) == .wait(25 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 100 * ms) == .wait(25 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: false, now: 190 * ms) == .rest)
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 290 * ms) == .ping(20 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 305 * ms) == .wait(5 * ms))
    #expect(keepalive.check(hasHeard: true, isInUse: true, now: 306 * ms) == .wait(25 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 406 * ms) == .ping(20 * ms))
    #expect(keepalive.check(hasHeard: false, isInUse: false, now: 426 * ms) == .close)
    var permitted = Keepalive(interval: 5 * ms, timeout: 20 * ms, withoutCalls: true, now: 0)
    #expect(permitted.check(hasHeard: false, isInUse: false, now: 5 * ms) == .ping(5 * ms))
    #expect(permitted.check(hasHeard: false, isInUse: false, now: 10 * ms) == .wait(5 * ms))
    #expect(permitted.check(hasHeard: false, isInUse: false, now: 22 * ms) == .wait(3 * ms))
    #expect(permitted.check(hasHeard: false, isInUse: false, now: 25 * ms) == .close)
  }
}
