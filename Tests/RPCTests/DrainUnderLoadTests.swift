import Dispatch
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Servers that are drained and replaced while calls go on: none may fail.
@Suite(.timeLimit(.minutes(2)))
struct DrainUnderLoadTests {
  private final class Tally: Sendable {
    private let state = NIOLockedValueBox((isOver: false, failures: [Status]()))
    var isOver: Bool { state.withLockedValue { $0.isOver } }
    var failures: [Status] { state.withLockedValue { $0.failures } }
    func end() { state.withLockedValue { $0.isOver = true } }
    func add(_ failure: Status) { state.withLockedValue { $0.failures.append(failure) } }
  }

  /// Makes calls from several tasks until told to stop.
  private func load(
    on client: Client, _ options: CallOptions, during body: () async throws -> Void
  ) async throws -> (calls: Int, failures: [Status]) {
    let calls = Counter()
    let tally = Tally()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<16 {
        group.addTask {
          while !tally.isOver {
            if let failed = await status({ try await client.unary(Echo.say, "a", options) }) {
              tally.add(failed)
            }
            calls.add(1)
          }
        }
      }
      try await eventually("calls are made") { calls.value > 100 }
      try await body()
      let before = calls.value
      try await eventually("calls go on") { calls.value > before + 100 }
      tally.end()
      try await group.waitForAll()
    }
    return (calls.value, tally.failures)
  }

  private func options(_ balancing: LoadBalancing) -> ClientOptions {
    var options = ClientOptions()
    options.loadBalancing = balancing
    options.minimumBackoff = .milliseconds(5)
    options.maximumBackoff = .milliseconds(20)
    return options
  }

  /// Calls that wait for readiness bridge the time without a server.
  @Test func oneServerRestarts() async throws {
    var server = try await NamedServer.start("0")
    let client = Client(host: "127.0.0.1", port: server.port, options: options(.pickFirst))
    let result = try await load(on: client, CallOptions(waitForReady: true)) {
      for round in 1...5 {
        await server.server.shutdown(grace: .seconds(60))
        server = try await NamedServer.start("\(round)", port: server.port)
        try await client.connect(patiently: true)
      }
    }
    #expect(result.failures == [])
    print("one server restarts: \(result.calls) calls")
    await client.close()
    await server.stop()
  }

  private func ready(_ client: Client, _ count: Int) async throws {
    try await eventually("\(count) are ready") { try await client.look { $0.ready.count } == count }
  }

  /// With another server at hand no call has to wait for anything.
  @Test(arguments: [LoadBalancing.pickFirst, .roundRobin])
  func serversRestartInTurn(balancing: LoadBalancing) async throws {
    var servers = [try await NamedServer.start("0"), try await NamedServer.start("1")]
    let client = Client(.addresses(servers.map(\.address)), options: options(balancing))
    let result = try await load(on: client, CallOptions()) {
      for round in 0..<6 {
        let (old, other) = (servers[round % 2], servers[1 - round % 2].address)
        try await ready(client, balancing == .roundRobin ? 2 : 1)
        await old.server.shutdown(grace: .seconds(60))
        // The next round would take the last server away, were the client not there yet.
        try await eventually("the client is at the other server") {
          try await client.look { $0.ready.map(\.address) } == [other]
        }
        servers[round % 2] = try await NamedServer.start("\(round)", port: old.port)
      }
    }
    #expect(result.failures == [])
    print("servers restart in turn, \(balancing): \(result.calls) calls")
    await client.close()
    for server in servers { await server.stop() }
  }

  /// A call whose connection ends before a byte of it was written is sent again: here the connection is closed in the
  /// same turn of the loop in which the call was opened on it.
  @Test func whatWasNeverWrittenIsSentAgain() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port, options: options(.pickFirst))
    for _ in 0..<20 {
      try await client.connect()
      let (isHeld, release) = (Gate(), DispatchSemaphore(value: 0))
      client.channel.loop.execute {
        Task { await isHeld.open() }
        release.wait()
      }
      await isHeld.wait()
      // All three now wait for the loop: opening the call, closing the connection, and writing, which opening asks for.
      let responses = try await client.serverStreaming(Echo.expand, "3 times")
      client.channel.loop.execute { client.channel.ready.first?.connections.first?.closeNow() }
      release.signal()
      var count = 0
      for try await _ in responses { count += 1 }
      #expect(count == 3)
    }
    await client.close()
    await server.shutdown(grace: .zero)
  }
}

extension Client {
  /// Connects, however many attempts that takes.
  fileprivate func connect(patiently: Bool) async throws {
    try await eventually("connected") { await status { try await self.connect() } == nil }
  }
}
