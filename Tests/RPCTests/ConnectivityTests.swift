import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct ConnectivityTests {
  private func options() -> ClientOptions {
    var options = ClientOptions()
    options.minimumBackoff = .milliseconds(10)
    return options
  }

  @Test func whatAClientGoesThrough() async throws {
    let port = try await ConnectionTests.freePort()
    let client = Client(host: "127.0.0.1", port: port, options: options())
    var states = client.connectivity.makeAsyncIterator()
    #expect(await states.next() == .idle)
    let failed = await status { try await client.connect() }
    #expect(failed?.code == .unavailable)
    #expect(failed?.message == "127.0.0.1:\(port) cannot be reached: connection refused")
    #expect(await states.next() == .connecting)
    #expect(await states.next() == .transientFailure)
    #expect(await states.next() == .idle)
    let server = try await NamedServer.start("x", port: port)
    try await client.connect()
    try await client.connect()
    #expect(await states.next() == .connecting)
    #expect(await states.next() == .ready)
    await server.stop()
    #expect(await states.next() == .idle)
    await client.close()
    #expect(await states.next() == .shutdown)
    #expect(await states.next() == nil)
    var afterwards = client.connectivity.makeAsyncIterator()
    #expect(await afterwards.next() == .shutdown)
    #expect(await afterwards.next() == nil)
    #expect(await status { try await client.connect() } == Status(.unavailable, "the client was closed"))
  }

  @Test func connectingCanBeCancelled() async throws {
    let resolver = ResolverTests.Hanging(address: .ip("127.0.0.1", port: 1))
    var options = options()
    options.resolver = resolver
    options.connectTimeout = .seconds(60)
    let client = Client(.host("slow.test", port: 1), options: options)
    let task = Task { await status { try await client.connect() } }
    task.cancel()
    #expect(await task.value == Status(.cancelled, "the task was cancelled"))
    await client.close()
    await resolver.gate.open()
  }

  /// A listener that accepts and says nothing is no server.
  @Test func aServerThatSaysNothing() async throws {
    var options = options()
    options.connectTimeout = .milliseconds(50)
    let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = silent.localAddress?.port ?? 0
    let client = Client(host: "127.0.0.1", port: port, options: options)
    #expect(
      await status { try await client.unary(Echo.say, "a") }?.message
        == "127.0.0.1:\(port) cannot be reached: the server sent no HTTP/2 SETTINGS in time")
    await client.close()
    // With another address behind it, it costs its part of the time and no call.
    let server = try await NamedServer.start("awake")
    let several = Client(.addresses([.ip("127.0.0.1", port: port), server.address]), options: options)
    #expect(try await several.unary(Echo.say, "a") == "awake")
    await several.close()
    await server.stop()
    try await silent.close()
  }
}
