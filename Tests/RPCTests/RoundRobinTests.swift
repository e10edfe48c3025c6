import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct RoundRobinTests {
  private func options() -> ClientOptions {
    var options = ClientOptions()
    options.loadBalancing = .roundRobin
    options.minimumBackoff = .milliseconds(10)
    options.maximumBackoff = .milliseconds(50)
    return options
  }

  private func start(_ count: Int) async throws -> [NamedServer] {
    var servers: [NamedServer] = []
    for number in 0..<count { servers.append(try await NamedServer.start("\(number)")) }
    return servers
  }

  /// Waits until that many addresses are ready.
  private func ready(_ client: Client, _ count: Int) async throws {
    try await client.connect()
    try await eventually("\(count) addresses are ready") {
      try await client.look { $0.ready.count } == count
    }
  }

  private func counts(_ client: Client, calls: Int) async throws -> [String: Int] {
    var counts: [String: Int] = [:]
    for _ in 0..<calls { counts[try await client.unary(Echo.say, "who"), default: 0] += 1 }
    return counts
  }

  @Test func callsTakeTurns() async throws {
    let servers = try await start(3)
    let client = Client(.addresses(servers.map(\.address)), options: options())
    try await ready(client, 3)
    #expect(try await counts(client, calls: 30) == ["0": 10, "1": 10, "2": 10])
    await client.close()
    for server in servers { await server.stop() }
  }

  @Test func aDeadAddressThatIsGivenTwice() async throws {
    let server = try await NamedServer.start("gone")
    await server.stop()
    let client = Client(.addresses([server.address, server.address]), options: options())
    #expect(await status { try await client.unary(Echo.say, "a", .timeout(.seconds(10))) }?.code == .unavailable)
    await client.close()
  }

  @Test func oneThatDiesCostsNoCallAndComesBack() async throws {
    var servers = try await start(3)
    let client = Client(.addresses(servers.map(\.address)), options: options())
    try await ready(client, 3)
    let dying = servers[1]
    async let stopped: Void = dying.server.shutdown(grace: .seconds(30))
    let during = try await counts(client, calls: 200)
    await stopped
    #expect(during["0", default: 0] + during["1", default: 0] + during["2", default: 0] == 200)
    try await ready(client, 2)
    #expect(try await counts(client, calls: 20) == ["0": 10, "2": 10])
    servers[1] = try await NamedServer.start("again", port: dying.port)
    try await ready(client, 3)
    #expect(try await counts(client, calls: 30) == ["0": 10, "again": 10, "2": 10])
    await client.close()
    for server in servers { await server.stop() }
  }

  @Test func oneDeadAddressAmongLiveOnes() async throws {
    let server = try await NamedServer.start("alive")
    let dead = ServerAddress.ip("127.0.0.1", port: try await ConnectionTests.freePort())
    let client = Client(.addresses([dead, server.address]), options: options())
    #expect(try await counts(client, calls: 10) == ["alive": 10])
    await client.close()
    await server.stop()
  }

  @Test func allDead() async throws {
    let port = try await ConnectionTests.freePort()
    let dead = ServerAddress.ip("127.0.0.1", port: port)
    let client = Client(.addresses([dead, .ip("127.0.0.2", port: port)]), options: options())
    let failed = await status { try await client.unary(Echo.say, "a") }
    #expect(failed?.code == .unavailable)
    #expect(failed?.message.hasSuffix(":\(port): connection refused") == true)
    async let patient = client.unary(Echo.say, "a", CallOptions(waitForReady: true))
    let server = try await NamedServer.start("risen", port: port)
    #expect(try await patient == "risen")
    await client.close()
    await server.stop()
  }

  @Test func aSaturatedServerIsPassedOver() async throws {
    let (started, release) = (Counter(), Gate())
    var router = Router()
    router.unary(Echo.say) { _, context in
      started.add(1)
      await release.wait()
      return context.peer
    }
    var options = ServerOptions()
    options.maximumStreams = 2
    let servers = [Server(router: router, options: options), Server(router: router, options: options)]
    var addresses: [ServerAddress] = []
    for server in servers {
      addresses.append(.ip("127.0.0.1", port: try await server.start(host: "127.0.0.1", port: 0).port))
    }
    let client = Client(.addresses(addresses), options: self.options())
    try await ready(client, 2)
    try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<5 { group.addTask { try await client.unary(Echo.say, "a") } }
      try await eventually("four run") { started.value == 4 }
      let waiting = try await client.look { $0.queue.count }
      #expect(waiting == 1)
      await release.open()
      try await group.waitForAll()
    }
    #expect(started.value == 5)
    await client.close()
    for server in servers { await server.shutdown(grace: .zero) }
  }
}
