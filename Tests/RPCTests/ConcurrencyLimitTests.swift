import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct ConcurrencyLimitTests {
  /// What handlers wait for, each until it is let go; and the order in which they began.
  actor Desk {
    private var waiting: [String: CheckedContinuation<Void, Never>] = [:]
    private(set) var began: [String] = []
    private(set) var running = 0

    func serve(_ name: String) async {
      began.append(name)
      running += 1
      await withCheckedContinuation { waiting[name] = $0 }
      running -= 1
    }

    func letGo(_ name: String) { waiting.removeValue(forKey: name)?.resume() }
    func isServing(_ name: String) -> Bool { waiting[name] != nil }
  }

  private func withLimit(
    _ limit: ConcurrencyLimit, _ body: @escaping (Desk, Client, Client) async throws -> Void
  ) async throws {
    let desk = Desk()
    var router = Echo.router
    router.unary(Echo.say) { name, _ in
      await desk.serve(name)
      return name
    }
    try await withPair(router, interceptors: [limit]) { (client, address) async throws in
      let other = Client(host: address.host, port: address.port)
      try await body(desk, client, other)
      await other.close()
    }
  }

  private func call(_ client: Client, _ name: String, _ options: CallOptions = .init()) -> Task<Status?, Never> {
    Task { await status { try await client.unary(Echo.say, name, options) } }
  }

  @Test func thoseBeyondWaitInOrderOverAllConnections() async throws {
    let limit = ConcurrencyLimit(maximum: 2, queue: 10)
    try await withLimit(limit) { desk, client, other in
      let names = ["a", "b", "c", "d", "e"]
      var calls: [Task<Status?, Never>] = []
      for (index, name) in names.enumerated() {
        calls.append(call(index % 2 == 0 ? client : other, name))
        try await eventually("\(name) is there") { limit.load.running + limit.load.waiting == index + 1 }
      }
      #expect(limit.load == (2, 3))
      for (index, name) in names.enumerated() {
        try await eventually("\(name) is served") { await desk.isServing(name) }
        #expect(await desk.running <= 2)
        #expect(await desk.began == Array(names.prefix(min(index + 2, 5))))
        await desk.letGo(name)
        #expect(await calls[index].value == nil)
        try await eventually("the next has its turn") { await desk.began.count == min(index + 3, 5) }
      }
      try await eventually("all are done") { limit.load == (0, 0) }
    }
  }

  @Test func aFullQueueRefuses() async throws {
    let limit = ConcurrencyLimit(maximum: 1, queue: 1)
    try await withLimit(limit) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let second = call(client, "b")
      try await eventually("the second waits") { limit.load == (1, 1) }
      let third = await status { try await client.unary(Echo.say, "c") }
      #expect(third?.code == .resourceExhausted)
      #expect(third?.message == "1 calls are running and 1 are waiting: try again later")
      await desk.letGo("a")
      try await eventually("the second runs") { await desk.isServing("b") }
      await desk.letGo("b")
      #expect(await [first.value, second.value] == [nil, nil])
    }
  }

  /// Waiting costs nobody else's time: callers that give up make room, and do not run later.
  @Test func whoGivesUpLeavesTheQueue() async throws {
    let limit = ConcurrencyLimit(maximum: 1, queue: 2)
    try await withLimit(limit) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let cancelled = call(client, "b")
      try await eventually("the second waits") { limit.load.waiting == 1 }
      let late = call(client, "c", .timeout(.milliseconds(50)))
      #expect(await late.value?.code == .deadlineExceeded)
      cancelled.cancel()
      #expect(await cancelled.value?.code == .cancelled)
      try await eventually("the queue is empty") { limit.load == (1, 0) }
      let last = call(client, "d")
      try await eventually("the last waits") { limit.load.waiting == 1 }
      await desk.letGo("a")
      try await eventually("the last runs") { await desk.isServing("d") }
      await desk.letGo("d")
      #expect(await [first.value, last.value] == [nil, nil])
      #expect(await desk.began == ["a", "d"])
    }
  }

  /// All slots are held for long, and callers come and give up: they leave nothing in memory.
  @Test func whoGivesUpTakesNoMemory() async {
    var queue = SlotQueue(slots: 1, room: 10)
    #expect(queue.admit() == .enters)
    for _ in 0..<1_000 {
      #expect(queue.admit() == .waits)
      let waiter = SlotQueue.Waiter()
      let hasTurn = await withCheckedContinuation { continuation in
        _ = queue.add(waiter) { continuation.resume(returning: $0) }
        queue.remove(waiter)?(false)
      }
      #expect(!hasTurn)
    }
    #expect(queue.waiting == 0)
    #expect(queue.capacityUsed <= 33)
  }

  @Test func eachMethodForItself() async throws {
    let limit = ConcurrencyLimit(maximum: 1, per: .method)
    try await withLimit(limit) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      #expect(await status { try await client.unary(Echo.say, "b") }?.code == .resourceExhausted)
      #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("c") } == "c")
      await desk.letGo("a")
      #expect(await first.value == nil)
    }
  }

  @Test func streamsCountToTheirEndAndServicesCanBeLeftOut() async throws {
    let limit = ConcurrencyLimit(maximum: 1, except: [])
    try await withPair(interceptors: [limit]) { (client, _) async throws in
      try await client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("a")
        var answers = responses.makeAsyncIterator()
        #expect(try await answers.next() == "re: a")
        #expect(await status { try await client.unary(Echo.say, "b") }?.code == .resourceExhausted)
        requests.finish()
        #expect(try await answers.next() == nil)
      }
      try await eventually("there is room again") { limit.load.running == 0 }
      #expect(try await client.unary(Echo.say, "b") == "b")
    }
    try await withPair(interceptors: [ConcurrencyLimit(maximum: 1, except: ["test.Echo"])]) {
      (client, _) async throws in
      try await client.bidirectional(Echo.chat) { requests, _ in
        try await requests.write("a")
        #expect(try await client.unary(Echo.say, "b") == "b")
      }
    }
  }

  /// Many callers, many of whom give up: every place comes back, and never are more taken than there are.
  @Test func placesAreNotLost() async throws {
    let limit = ConcurrencyLimit(maximum: 3, queue: 1_000)
    let crowd = Crowd()
    var random = SeededRandom()
    let limits = (0..<400).map { _ in Int.random(in: 0..<20, using: &random) }
    try await withPair(crowd.router, interceptors: [limit]) { (client, _) async throws in
      await withTaskGroup(of: Void.self) { group in
        for milliseconds in limits {
          group.addTask {
            let options = milliseconds < 10 ? CallOptions.timeout(.milliseconds(milliseconds)) : CallOptions()
            _ = await status { try await client.unary(Echo.say, "a", options) }
          }
        }
      }
      try await eventually("all places are free") { limit.load == (0, 0) }
    }
    #expect(crowd.most <= 3)
  }
}
