import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RPC

/// Pick first over real sockets, with addresses at which nobody answers.
@Suite(.timeLimit(.minutes(1)))
struct HappyEyeballsSocketTests {
  /// Whoever waits for one attempt to end is over this suite's time.
  private var options: ClientOptions {
    var options = ClientOptions()
    options.connectTimeout = .seconds(600)
    options.connectionAttemptDelay = .milliseconds(100)
    return options
  }

  @Test func anAddressThatNeverAnswersHoldsNobodyUp() async throws {
    let (first, second) = (try BlackHole(), try BlackHole())
    let server = try await NamedServer.start("here")
    let client = Client(.addresses([first.address, second.address, server.address]), options: options)
    #expect(try await client.unary(Echo.say, "who") == "here")
    #expect(try await client.look { Array($0.subchannels.keys) } == [server.address], "the others are given up")
    #expect(try await client.look { $0.openConnections } == 1)
    // Lost, and found again in the same way.
    await server.stop()
    let again = try await NamedServer.start("again", port: server.port)
    #expect(try await client.unary(Echo.say, "who", CallOptions(waitForReady: true)) == "again")
    await client.close()
    await again.stop()
    // They are what they are taken for.
    var impatient = options
    impatient.connectTimeout = .milliseconds(100)
    let lost = Client(.addresses([first.address, second.address]), options: impatient)
    let failed = await status { try await lost.unary(Echo.say, "who") }
    #expect(failed?.message == "\(first.address) cannot be reached: \(second.address): it did not answer in time")
    await lost.close()
  }

  /// A TCP connection is no server yet: one that does not speak HTTP/2 holds nobody up either, and is hung up on.
  @Test func aServerThatSaysNothingIsLeft() async throws {
    let (accepted, closed) = (Counter(), Counter())
    let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        accepted.add(1)
        channel.closeFuture.whenComplete { _ in closed.add(1) }
        return channel.eventLoop.makeSucceededVoidFuture()
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let address = ServerAddress.ip("127.0.0.1", port: silent.localAddress?.port ?? 0)
    let server = try await NamedServer.start("here")
    let client = Client(.addresses([address, server.address]), options: options)
    #expect(try await client.unary(Echo.say, "who") == "here")
    try await eventually("the other is closed") { (accepted.value, closed.value) == (1, 1) }
    #expect(try await client.unary(Echo.say, "who") == "here")
    await client.close()
    await server.stop()
    try await silent.close()
  }

  @Test func closingGivesUpWhatIsUnderWay() async throws {
    let holes = (try BlackHole(), try BlackHole())
    let client = Client(.addresses([holes.0.address, holes.1.address]), options: options)
    let call = Task { await status { try await client.unary(Echo.say, "a") } }
    try await eventually("both are tried") { try await client.look { $0.subchannels.count } == 2 }
    await client.close()
    #expect(await call.value == Status(.unavailable, "the client was closed"))
    #expect(try await client.look { $0.subchannels.count } == 0)
  }
}
