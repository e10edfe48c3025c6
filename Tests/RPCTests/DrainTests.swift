import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import RPC
import TestSupport
import Testing

/// How connections end when the server wants them to.
@Suite(.timeLimit(.minutes(2)))
struct DrainTests {
  /// A server whose `Say` answers when the gate opens, and a peer with such a call under way.
  private func callUnderWay(
    until gate: Gate, _ started: Counter
  ) async throws -> (server: Server, address: BoundAddress, peer: RawPeer, stream: Int32) {
    var router = Echo.router
    router.unary(Echo.say) { request, _ in
      started.add(1)
      await gate.wait()
      return request
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let stream = try peer.request(path: Echo.say.path, body: peer.frame("one"))
    try await eventually("the call runs") { started.value == 1 }
    return (server, address, peer, stream)
  }

  /// The connections that calls came on.
  private final class Peers: Sendable {
    private let names = NIOLockedValueBox<Set<String>>([])
    var count: Int { names.withLockedValue { $0.count } }
    func add(_ name: String) { names.withLockedValue { _ = $0.insert(name) } }
  }

  @Test func twoGoAwaysAndNoCallLost() async throws {
    let gate = Gate()
    let (server, address, peer, stream) = try await callUnderWay(until: gate, Counter())
    async let stopped: Void = server.shutdown(grace: .seconds(60))
    // The first names no stream; the peer's PING answer goes out as it is read, and brings the second.
    try await eventually("the first GOAWAY") { try peer.goAways().first == Int32.max }
    try await eventually("the second GOAWAY") { try peer.goAways() == [Int32.max, stream] }
    #expect(peer.isOpen)
    await #expect(throws: (any Error).self) { _ = try await RawPeer.connect(to: address) }
    await gate.open()
    #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    await stopped
    try await eventually("the connection is closed") { !peer.isOpen }
  }

  /// What the peer sent before it knew of the end is served: between the two GOAWAYs.
  @Test func aCallBetweenTheGoAwaysIsServed() async throws {
    let (gate, started) = (Gate(), Counter())
    let (server, _, peer, first) = try await callUnderWay(until: gate, started)
    async let stopped: Void = server.shutdown(grace: .seconds(60))
    // The session has not seen the GOAWAY yet: nothing was read.
    let second = try peer.request(path: Echo.say.path, body: peer.frame("two"))
    try await eventually("the second runs") { started.value == 2 }
    await gate.open()
    for stream in [first, second] { #expect(try await peer.trailers(stream)["grpc-status"] == "0") }
    await stopped
    await peer.close()
  }

  /// The same on a connection that had no calls when the server began to stop.
  @Test func aCallThatCrossesTheGoAwayIsServed() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    let first = try peer.request(path: Echo.say.path, body: peer.frame("one"))
    #expect(try await peer.trailers(first)["grpc-status"] == "0")
    let bytes = peer.receivedBytes
    async let stopped: Void = server.shutdown(grace: .seconds(60))
    try await eventually("the GOAWAY is there, unread") { peer.receivedBytes > bytes }
    let second = try peer.request(path: Echo.say.path, body: peer.frame("two"))
    #expect(try await peer.trailers(second)["grpc-status"] == "0")
    try await eventually("the second GOAWAY") { try peer.goAways() == [Int32.max, second] }
    await stopped
    await peer.close()
  }

  @Test func idleConnectionsAreClosedAtOnce() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let clients = (0..<5).map { _ in Client(host: address.host, port: address.port) }
    for client in clients { _ = try await client.unary(Echo.say, "a") }
    await server.shutdown(grace: .seconds(600))
    for client in clients { await client.close() }
  }

  @Test func whatOutlastsTheGraceGetsUnavailable() async throws {
    let started = Counter()
    var router = Echo.router
    router.unary(Echo.say) { request, _ in
      started.add(1)
      try await Task.sleep(for: .seconds(600))
      return request
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    async let unary = status { try await client.unary(Echo.say, "a") }
    let chat = Task {
      await status {
        try await client.bidirectional(Echo.chat) { requests, responses in
          try await requests.write("one")
          for try await _ in responses { started.add(1) }
        }
      }
    }
    try await eventually("both run") { started.value == 2 }
    await server.shutdown(grace: .zero)
    let ends = [await unary, await chat.value]
    for end in ends {
      #expect(end?.code == .unavailable)
      #expect(end?.message == "the server is shutting down")
    }
    await client.close()
  }

  @Test func aPeerThatDoesNotReadIsNotWaitedFor() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address, reads: false)
    _ = try peer.request(path: Echo.expand.path, body: peer.frame("1000000"))
    try await eventually("the call began") { server.connectionCount == 1 }
    await server.shutdown(grace: .zero)
    await peer.close()
  }

  @Test func aConnectionWithoutCallsIsClosedAfterAWhile() async throws {
    var options = ServerOptions()
    options.maximumConnectionIdle = .milliseconds(100)
    try await withPair(server: options) { (_, address) async throws in
      let peer = try await RawPeer.connect(to: address)
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("one"))
      #expect(try await peer.trailers(stream)["grpc-status"] == "0")
      try await eventually("the GOAWAYs") { try peer.goAways() == [Int32.max, stream] }
      try await eventually("the connection is closed") { !peer.isOpen }
    }
  }

  @Test func anOldConnectionsCallsAreEndedAfterItsGrace() async throws {
    var options = ServerOptions()
    options.maximumConnectionAge = .milliseconds(100)
    options.maximumConnectionAgeGrace = .milliseconds(100)
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(DeadlineTests.waiting(started, cancelled), server: options) { (client, _) async throws in
      let end = await status { try await client.unary(Echo.say, "a") }
      #expect(end?.code == .unavailable)
      #expect(end?.message == "the connection has reached its greatest age")
      await cancelled.wait()
    }
  }

  /// Connections end all the time, and no call with them.
  @Test func underLoadNoCallIsLost() async throws {
    var options = ServerOptions()
    options.maximumConnectionAge = .milliseconds(40)
    let peers = Peers()
    var router = Echo.router
    router.unary(Echo.say) { request, context in
      peers.add(context.peer)
      await Task.yield()
      return request
    }
    try await withPair(router, server: options) { (client, _) async throws in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<16 {
          group.addTask {
            while peers.count < 8 {
              let options = CallOptions(waitForReady: true)
              #expect(try await client.unary(Echo.say, "\(worker)", options) == "\(worker)")
              var count = 0
              for try await _ in try await client.serverStreaming(Echo.expand, "20", options) { count += 1 }
              #expect(count == 20)
              let joined = try await client.clientStreaming(Echo.collect, options) { requests in
                for letter in ["a", "b", "c"] { try await requests.write(letter) }
              }
              #expect(joined == "abc")
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  /// The server is replaced by another at the same address while calls go on.
  @Test func aServerIsReplacedUnderLoad() async throws {
    let first = Server(router: Echo.router)
    let address = try await first.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    let (stops, calls) = (Counter(), Counter())
    let load = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<16 {
          group.addTask {
            while stops.value == 0 {
              _ = try await client.unary(Echo.say, "a", CallOptions(waitForReady: true))
              calls.add(1)
            }
          }
        }
        try await group.waitForAll()
      }
    }
    var server = first
    for _ in 0..<5 {
      let before = calls.value
      try await eventually("calls go on") { calls.value > before + 100 }
      let next = Server(router: Echo.router)
      async let stopped: Void = server.shutdown()
      try await eventually("the address is free") {
        (try? await next.start(host: address.host, port: address.port)) != nil
      }
      await stopped
      server = next
    }
    stops.add(1)
    try await load.value
    await client.close()
    await server.shutdown(grace: .zero)
  }

  // MARK: - Keepalive

  /// No PING is sent before the last one was answered. When an answer is late: `ConnectionLifetimeTests`.
  @Test func aPeerThatAnswersIsKept() async throws {
    var options = ServerOptions()
    options.keepaliveInterval = .milliseconds(40)
    options.keepaliveTimeout = .seconds(100)
    try await withPair(server: options) { (_, address) async throws in
      let peer = try await RawPeer.connect(to: address)
      _ = try peer.request(path: Echo.say.path, body: peer.frame("one"))
      // Reading answers the PINGs.
      try await eventually("six PINGs") { try peer.pings() == 6 }
      #expect(peer.isOpen)
      await peer.close()
    }
  }

  @Test func aPeerThatDoesNotAnswerIsGone() async throws {
    var options = ServerOptions()
    options.keepaliveInterval = .milliseconds(40)
    options.keepaliveTimeout = .milliseconds(40)
    try await withPair(server: options) { (_, address) async throws in
      let peer = try await RawPeer.connect(to: address)
      _ = try peer.request(path: Echo.say.path, body: peer.frame("one"))
      try await eventually("the connection is closed") { !peer.isOpen }
    }
  }
}
