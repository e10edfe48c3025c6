import NIOConcurrencyHelpers
import TestSupport
import Testing

@testable import RPC

/// Names whose addresses change, over real servers.
@Suite(.timeLimit(.minutes(2)))
struct ResolverTests {
  /// Answers what it is told to.
  final class Scripted: NameResolver {
    struct NoSuchName: Error, CustomStringConvertible { let description = "no such name" }

    private let answer: NIOLockedValueBox<[ServerAddress]?>
    let asked = Counter()

    init(_ answer: [ServerAddress]?) { self.answer = NIOLockedValueBox(answer) }

    func set(_ addresses: [ServerAddress]?) { answer.withLockedValue { $0 = addresses } }

    func addresses(of host: String, port: Int) async throws -> [ServerAddress] {
      asked.add(1)
      guard let addresses = answer.withLockedValue({ $0 }) else { throw NoSuchName() }
      return addresses
    }
  }

  /// Never answers, until it is let.
  struct Hanging: NameResolver {
    let gate = Gate()
    let address: ServerAddress

    func addresses(of host: String, port: Int) async throws -> [ServerAddress] {
      await gate.wait()
      return [address]
    }
  }

  private func options(_ resolver: any NameResolver, _ balancing: LoadBalancing = .pickFirst) -> ClientOptions {
    var options = ClientOptions()
    options.resolver = resolver
    options.loadBalancing = balancing
    options.minimumResolveInterval = .zero
    options.minimumBackoff = .milliseconds(10)
    return options
  }

  @Test func aRealName() async throws {
    let server = try await NamedServer.start("here")
    // Where the name means ::1 too, nobody listens there: the next address is tried within the same call.
    let client = Client(.host("localhost", port: server.port))
    #expect(try await client.unary(Echo.say, "who") == "here")
    await client.close()
    await server.stop()
    let found = try await SystemResolver().addresses(of: "localhost", port: 80)
    #expect(found.contains(.ip("127.0.0.1", port: 80)))
    #expect(Set(found).count == found.count)
  }

  @Test(arguments: [LoadBalancing.pickFirst, .roundRobin])
  func aNameNobodyKnows(balancing: LoadBalancing) async throws {
    let resolver = Scripted(nil)
    let client = Client(.host("nowhere.test", port: 1), options: options(resolver, balancing))
    let failed = await status { try await client.unary(Echo.say, "a") }
    #expect(
      failed
        == Status(
          .unavailable, "nowhere.test:1 cannot be reached: the name cannot be resolved: no such name"))
    let server = try await NamedServer.start("found")
    async let patient = client.unary(Echo.say, "a", CallOptions(waitForReady: true))
    resolver.set([])
    try await eventually("is asked again") { resolver.asked.value > 1 }
    resolver.set([server.address])
    #expect(try await patient == "found")
    await client.close()
    await server.stop()
  }

  @Test func aServerThatMovesIsFollowedWithoutAFailure() async throws {
    let first = try await NamedServer.start("first")
    let second = try await NamedServer.start("second")
    let resolver = Scripted([first.address])
    let client = Client(.host("moving.test", port: 1), options: options(resolver))
    #expect(try await client.unary(Echo.say, "who") == "first")
    resolver.set([second.address])
    await first.stop()
    #expect(try await client.unary(Echo.say, "who") == "second")
    await client.close()
    await second.stop()
  }

  @Test func newAddressesAreTakenInAndOldOnesLeft() async throws {
    let (first, second) = (try await NamedServer.start("first"), try await NamedServer.start("second"))
    let resolver = Scripted([first.address])
    var options = options(resolver, .roundRobin)
    options.resolveInterval = .milliseconds(10)
    let client = Client(.host("growing.test", port: 1), options: options)
    #expect(try await client.unary(Echo.say, "who") == "first")
    resolver.set([first.address, second.address])
    try await eventually("the second is called") { try await client.unary(Echo.say, "who") == "second" }
    resolver.set([second.address])
    try await eventually("the first is left") {
      try await client.look { $0.ready.map(\.address) } == [second.address]
    }
    for _ in 0..<4 { #expect(try await client.unary(Echo.say, "who") == "second") }
    // Nobody can say where it is: what is known stays in use.
    resolver.set(nil)
    let asked = resolver.asked.value
    try await eventually("it is asked for again") { resolver.asked.value > asked + 1 }
    #expect(try await client.unary(Echo.say, "who") == "second")
    await client.close()
    await first.stop()
    await second.stop()
  }

  @Test func aResolverThatHangsHoldsNobodyUp() async throws {
    let server = try await NamedServer.start("late")
    let resolver = Hanging(address: server.address)
    var options = options(resolver)
    options.connectTimeout = .milliseconds(30)
    let client = Client(.host("slow.test", port: 1), options: options)
    for _ in 0..<3 {
      #expect(
        await status { try await client.unary(Echo.say, "a") }?.message
          == "slow.test:1 cannot be reached: the name was not resolved in time")
    }
    async let patient = client.unary(Echo.say, "a", CallOptions(waitForReady: true))
    await resolver.gate.open()
    #expect(try await patient == "late")
    await client.close()
    await server.stop()
  }

  @Test func anEmptyListAndWhatIsNoAddress() async throws {
    let nowhere = Client(.addresses([]))
    #expect(
      await status { try await nowhere.unary(Echo.say, "a") }?.message
        == "localhost cannot be reached: the name cannot be resolved: it has no addresses")
    await nowhere.close()
    let server = try await NamedServer.start("real")
    let mixed = Client(.addresses([.ip("256.0.0.1", port: 1), server.address]))
    #expect(try await mixed.unary(Echo.say, "a") == "real")
    await mixed.close()
    await server.stop()
  }

  @Test func authority() async throws {
    let server = try await NamedServer.start("x")
    var options = ClientOptions()
    options.authority = "service.example"
    let client = Client(.addresses([server.address]), options: options)
    #expect(try await client.unary(Echo.say, "authority") == "service.example")
    await client.close()
    await server.stop()
  }
}

/// A server that answers with its name.
struct NamedServer {
  let server: Server
  let port: Int
  var address: ServerAddress { .ip("127.0.0.1", port: port) }

  static func start(_ name: String, port: Int = 0, options: ServerOptions = .init()) async throws -> NamedServer {
    var router = Router()
    router.unary(Echo.say) { request, context in request == "authority" ? context.authority : name }
    let server = Server(router: router, options: options)
    return NamedServer(server: server, port: try await server.start(host: "127.0.0.1", port: port).port)
  }

  func stop() async { await server.shutdown(grace: .zero) }
}
