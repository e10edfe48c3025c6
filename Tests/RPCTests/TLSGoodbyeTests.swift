import HTTP2
import NIOCore
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct TLSGoodbyeTests {
  /// Says nothing more once it is told to, and leaves the connection open: a peer that does not answer close_notify.
  private final class Muffler: ChannelOutboundHandler, Sendable {
    typealias OutboundIn = ByteBuffer
    let isMuffled: Counter
    init(_ isMuffled: Counter) { self.isMuffled = isMuffled }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      if isMuffled.value == 0 { context.write(data, promise: promise) } else { promise?.succeed() }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
      if isMuffled.value == 0 { context.close(mode: mode, promise: promise) } else { promise?.succeed() }
    }
  }

  /// Closing does not wait for a server's close_notify; what waits takes a second every time.
  @Test func aServerThatDoesNotSayGoodbye() async throws {
    let authority = try TestAuthority()
    let tls = try ServerTLS(certificate: authority.issue(service: "progress"))
    let clock = ContinuousClock()
    var fastest = Duration.seconds(60)
    for _ in 0..<5 where fastest >= .milliseconds(900) {
      let isMuffled = Counter()
      var manners = FrameServer.Manners()
      manners.prepare = { channel in
        try channel.pipeline.syncOperations.addHandler(Muffler(isMuffled))
        try tls.add(to: channel, timeout: .seconds(60)) { _ in }
      }
      let server = try await FrameServer.start(manners) { session, event in
        if case .end(let stream) = event { try session.answer(stream, "a") }
        return nil
      }
      var options = ClientOptions()
      options.tls = try ClientTLS(trust: .ca(file: authority.file))
      let client = Client(host: "127.0.0.1", port: server.port, options: options)
      #expect(try await client.unary(Echo.say, "a") == "a")
      isMuffled.add(1)
      fastest = min(fastest, await clock.measure { await client.close() })
      isMuffled.add(-1)
      await server.stop()
    }
    #expect(fastest < .milliseconds(900))
  }
}
