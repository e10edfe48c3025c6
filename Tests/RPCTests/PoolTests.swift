import TestSupport
import Testing

@testable import RPC

/// Calls beyond what a server lets one connection have open: queued, or sent over more connections.
@Suite(.timeLimit(.minutes(2)))
struct PoolTests {
  /// A server whose handlers wait at a gate, and the order in which they began.
  private struct Busy {
    let started = Counter()
    let release = Gate()
    let order = Order()

    actor Order {
      private(set) var names: [String] = []
      func append(_ name: String) { names.append(name) }
    }

    var router: Router {
      var router = Router()
      router.unary(Echo.say) { [self] request, context in
        started.add(1)
        await order.append(request)
        await release.wait()
        return context.peer
      }
      return router
    }
  }

  private func server(streams: Int) -> ServerOptions {
    var options = ServerOptions()
    options.maximumStreams = streams
    return options
  }

  private func queued(_ client: Client) async throws -> Int {
    try await client.look { $0.queue.count }
  }

  @Test func connectionsAreMadeWhereOneIsNotEnough() async throws {
    let busy = Busy()
    var options = ClientOptions()
    options.connectionsPerAddress = 3
    options.idleTimeout = .milliseconds(40)
    try await withPair(busy.router, server: server(streams: 2), client: options) { (client, _) async throws in
      let connections = {
        try await client.look { $0.ready.map(\.connections.count) }
      }
      let peers = try await withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<8 { group.addTask { try await client.unary(Echo.say, "a") } }
        try await eventually("six run, two wait") {
          let waiting = try await queued(client)
          return busy.started.value == 6 && waiting == 2
        }
        #expect(try await connections() == [3])
        await busy.release.open()
        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
      }
      #expect(peers.count == 3)
      #expect(busy.started.value == 8)
      try await eventually("an unused client has no connections") { try await connections() == [] }
      #expect(try await client.unary(Echo.say, "again").hasPrefix("127.0.0.1:"))
    }
  }

  /// The connection that is used stays, those beside it go.
  @Test func connectionsTooManyAreClosed() async throws {
    let busy = Busy()
    var options = ClientOptions()
    options.connectionsPerAddress = 4
    options.idleTimeout = .milliseconds(40)
    try await withPair(busy.router, server: server(streams: 1), client: options) { (client, _) async throws in
      try await withThrowingTaskGroup(of: String.self) { group in
        for _ in 0..<4 { group.addTask { try await client.unary(Echo.say, "a") } }
        try await eventually("four run") { busy.started.value == 4 }
        await busy.release.open()
        try await group.waitForAll()
      }
      try await eventually("one connection is left while calls are made") {
        _ = try await client.unary(Echo.say, "b")
        return try await client.look { $0.ready.map(\.connections.count) } == [1]
      }
    }
  }

  @Test func oneConnectionQueuesInOrder() async throws {
    let busy = Busy()
    try await withPair(busy.router, server: server(streams: 1)) { (client, _) async throws in
      try await withThrowingTaskGroup(of: String.self) { group in
        group.addTask { try await client.unary(Echo.say, "0") }
        try await eventually("the first runs") { busy.started.value == 1 }
        for number in 1...10 {
          group.addTask { try await client.unary(Echo.say, "\(number)") }
          try await eventually("\(number) waits") { try await queued(client) == number }
        }
        await busy.release.open()
        #expect(try await group.reduce(into: Set<String>()) { $0.insert($1) }.count == 1)
      }
      #expect(await busy.order.names == (0...10).map { "\($0)" })
    }
  }

  @Test func whoGivesUpLeavesTheQueue() async throws {
    let busy = Busy()
    try await withPair(busy.router, server: server(streams: 1)) { (client, _) async throws in
      async let first = client.unary(Echo.say, "first")
      try await eventually("the first runs") { busy.started.value == 1 }
      let impatient = (0..<50).map { _ in
        Task { await status { try await client.unary(Echo.say, "cancelled") }?.code }
      }
      try await eventually("they wait") { try await queued(client) == 50 }
      async let late = status { try await client.unary(Echo.say, "late", .timeout(.milliseconds(20))) }?.code
      let stream = try await client.serverStreaming(Echo.say, "dropped")
      for task in impatient { task.cancel() }
      for task in impatient { #expect(await task.value == .cancelled) }
      #expect(await late == .deadlineExceeded)
      try await eventually("only the stream waits") { try await queued(client) == 1 }
      stream.cancel()
      try await eventually("nobody waits") { try await queued(client) == 0 }
      #expect(try await client.look { $0.queue.capacityUsed } == 0)
      await busy.release.open()
      _ = try await first
      #expect(busy.started.value == 1)
    }
  }

  @Test func theQueueIsBounded() async throws {
    let busy = Busy()
    var options = ClientOptions()
    options.maximumQueuedCalls = 2
    try await withPair(busy.router, server: server(streams: 1), client: options) { (client, address) async throws in
      try await withThrowingTaskGroup(of: String.self) { group in
        for number in 1...3 {
          group.addTask { try await client.unary(Echo.say, "\(number)") }
          try await eventually("\(number) is there") {
            let waiting = try await queued(client)
            return busy.started.value == 1 && waiting == number - 1
          }
        }
        let refused = await status { try await client.unary(Echo.say, "4") }
        #expect(refused == Status(.resourceExhausted, "2 calls wait for \(address) already"))
        await busy.release.open()
        try await group.waitForAll()
      }
    }
    #expect(ClientOptions().maximumQueuedCalls == 100_000)
  }
}
