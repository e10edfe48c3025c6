import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// `ConcurrencyLimit` at the client: what waits has not been sent, and every place comes back.
@Suite(.timeLimit(.minutes(2)))
struct ClientConcurrencyLimitTests {
  private typealias Desk = ConcurrencyLimitTests.Desk

  private func withLimit(
    _ limits: [ConcurrencyLimit], _ options: ClientOptions = .init(),
    _ body: @escaping (Desk, Client, BoundAddress) async throws -> Void
  ) async throws {
    let desk = Desk()
    var router = Echo.router
    router.unary(Echo.say) { name, _ in
      await desk.serve(name)
      return name
    }
    try await withPair(router, client: options, clientInterceptors: limits) { (client, address) async throws in
      try await body(desk, client, address)
    }
  }

  private func call(_ client: Client, _ name: String, _ options: CallOptions = .init()) -> Task<Status?, Never> {
    Task { await status { try await client.unary(Echo.say, name, options) } }
  }

  @Test func thoseBeyondWaitInOrder() async throws {
    let limit = ConcurrencyLimit(maximum: 2, queue: 10)
    try await withLimit([limit]) { desk, client, _ in
      let names = ["a", "b", "c", "d", "e"]
      var calls: [Task<Status?, Never>] = []
      for (index, name) in names.enumerated() {
        calls.append(call(client, name))
        try await eventually("\(name) is there") { limit.load.running + limit.load.waiting == index + 1 }
      }
      #expect(limit.load == (2, 3))
      for (index, name) in names.enumerated() {
        try await eventually("\(name) is served") { await desk.isServing(name) }
        #expect(await desk.running <= 2)
        await desk.letGo(name)
        #expect(await calls[index].value == nil)
        try await eventually("the next has its turn") { await desk.began.count == min(index + 3, 5) }
      }
      #expect(Set(await desk.began.prefix(2)) == ["a", "b"])
      #expect(await desk.began.dropFirst(2) == ["c", "d", "e"])
      #expect(limit.load == (0, 0))
    }
  }

  /// Not sent, not sent again, and told to the interceptors around it.
  @Test func aFullQueueRefuses() async throws {
    let (limit, record) = (ConcurrencyLimit(maximum: 1, queue: 1), InterceptorTests.Record())
    var options = ClientOptions()
    let policy = try RetryPolicy(
      maximumAttempts: 3, initialBackoff: .milliseconds(1), retryableCodes: [.resourceExhausted])
    options.methods = [MethodConfiguration(.all, attempts: .retry(policy))]
    let desk = Desk()
    var router = Echo.router
    router.unary(Echo.say) { name, _ in
      await desk.serve(name)
      return name
    }
    let around: [any ClientInterceptor] = [InterceptorTests.Caller(name: "c", record: record), limit]
    try await withPair(router, client: options, clientInterceptors: around) { (client, _) async throws in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let second = call(client, "b")
      try await eventually("the second waits") { limit.load == (1, 1) }
      let refused = Status(.resourceExhausted, "1 calls are running and 1 are waiting at this client: try again later")
      #expect(await status { try await client.unary(Echo.say, "c") } == refused)
      let stream = try await client.serverStreaming(Echo.expand, "1")
      #expect(await status { for try await _ in stream {} } == refused)
      #expect(limit.load == (1, 1))
      #expect(record.all.filter { $0 == "c: RESOURCE_EXHAUSTED" }.count == 2)
      await desk.letGo("a")
      try await eventually("the second runs") { await desk.isServing("b") }
      await desk.letGo("b")
      #expect(await [first.value, second.value] == [nil, nil])
      #expect(await desk.began == ["a", "b"])
    }
  }

  @Test func whoGivesUpLeavesTheQueueAndIsNeverSent() async throws {
    let limit = ConcurrencyLimit(maximum: 1, queue: 10)
    try await withLimit([limit]) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let cancelled = call(client, "b")
      try await eventually("the second waits") { limit.load.waiting == 1 }
      let late = await call(client, "c", .timeout(.milliseconds(50))).value
      #expect(late == Status(.deadlineExceeded, "the deadline passed"))
      cancelled.cancel()
      #expect(await cancelled.value?.code == .cancelled)
      do {
        let stream = try await client.serverStreaming(Echo.expand, "1")
        try await eventually("it waits") { limit.load == (1, 1) }
        withExtendedLifetime(stream) {}
      }
      _ = await status {
        try await client.clientStreaming(Echo.collect) { _ in throw Status(.aborted, "changed my mind") }
      }
      _ = await status { try await client.bidirectional(Echo.chat) { _, _ in } }
      let already = await status {
        try await client.unary(Echo.say, "d", CallOptions(deadline: .after(.seconds(-1))))
      }
      #expect(already?.code == .deadlineExceeded)
      try await eventually("the queue is empty") { limit.load == (1, 0) }
      let last = call(client, "e")
      try await eventually("the last waits") { limit.load.waiting == 1 }
      await desk.letGo("a")
      try await eventually("the last runs") { await desk.isServing("e") }
      await desk.letGo("e")
      #expect(await [first.value, last.value] == [nil, nil])
      #expect(await desk.began == ["a", "e"])
      #expect(limit.load == (0, 0))
    }
  }

  /// There is one place and no queue: whatever ends a call, the next one finds room as soon as its caller knows.
  @Test func theNextCallFindsThePlaceFree() async throws {
    let limit = ConcurrencyLimit(maximum: 1)
    var router = Echo.router
    router.unary(Echo.say) { name, _ in
      if name == "fail" { throw Status(.notFound, "no") }
      return name
    }
    let unreadable = Codec<String>(decode: { _ in throw BadText() }, encode: { _, _ in })
    let broken = Method(Echo.say.path, request: text, response: unreadable)
    try await withPair(router, clientInterceptors: [limit]) { (client, _) async throws in
      for _ in 0..<20 {
        #expect(try await client.unary(Echo.say, "a") == "a")
        #expect(try await client.unaryResponse(Echo.say, "a").message == "a")
        #expect(await status { try await client.unary(Echo.say, "fail") }?.code == .notFound)
        #expect(await status { try await client.unary(Echo.say, "unencodable") }?.code == .internalError)
        #expect(await status { try await client.unary(broken, "a") }?.code == .internalError)
        #expect(await status { try await client.unary(Echo.missing, "a") }?.code == .unimplemented)
        for try await _ in try await client.serverStreaming(Echo.expand, "3") {}
        #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("b") } == "b")
        for try await _ in try await client.bidirectional(
          Echo.chat, .init(), { (requests: RequestWriter<String>) in try await requests.write("c") }) {}
        #expect(limit.load == (0, 0))
      }
    }
  }

  /// The server's handler may still run, but the caller is done with it.
  @Test func whatIsGivenUpHalfWayGivesItsPlaceBack() async throws {
    let limit = ConcurrencyLimit(maximum: 1)
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(DeadlineTests.waiting(started, cancelled), clientInterceptors: [limit]) {
      (client, _) async throws in
      let late = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(50))) }
      #expect(late?.code == .deadlineExceeded)
      let task = call(client, "b")
      try await eventually("it runs") { limit.load == (1, 0) }
      task.cancel()
      #expect(await task.value?.code == .cancelled)
      #expect(limit.load == (0, 0))
    }
    let (streaming, stopped) = (Gate(), Gate())
    try await withPair(CancellationTests.endless(streaming, stopped), clientInterceptors: [limit]) {
      (client, _) async throws in
      for try await _ in try await client.serverStreaming(Echo.expand, "") { break }
      try await eventually("a loop that is left") { limit.load == (0, 0) }
      do {
        let responses = try await client.serverStreaming(Echo.expand, "")
        try await eventually("it runs") { limit.load == (1, 0) }
        withExtendedLifetime(responses) {}
      }
      try await eventually("a stream that is dropped") { limit.load == (0, 0) }
    }
    try await withPair(clientInterceptors: [limit]) { (client, _) async throws in
      try await client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("a")
        var answers = responses.makeAsyncIterator()
        #expect(try await answers.next() == "re: a")
        #expect(await status { try await client.unary(Echo.say, "b") }?.code == .resourceExhausted)
      }
      #expect(try await client.unary(Echo.say, "b") == "b", "a conversation that is left")
      _ = await status {
        try await client.clientStreaming(Echo.collect) { requests in
          try await requests.write("a")
          throw Status(.aborted, "changed my mind")
        }
      }
      #expect(try await client.unary(Echo.say, "b") == "b", "a request that is given up")
    }
    let nowhere = Client(host: "127.0.0.1", port: 1, interceptors: [limit])
    for _ in 0..<3 { #expect(await status { try await nowhere.unary(Echo.say, "a") }?.code == .unavailable) }
    await nowhere.close()
    #expect(limit.load == (0, 0))
  }

  /// What a stream writes while it waits is kept, and sent when its turn comes; with a retry policy as without one.
  @Test(arguments: [false, true])
  func streamsWriteWhileTheyWait(retries: Bool) async throws {
    let limit = ConcurrencyLimit(maximum: 1, queue: 5)
    var options = ClientOptions()
    if retries { options.methods = [MethodConfiguration(.all, attempts: .retry(.unavailable))] }
    try await withLimit([limit], options) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let written = Gate()
      async let collected = client.clientStreaming(Echo.collect) { requests in
        for word in ["b", "c"] { try await requests.write(word) }
        await written.open()
      }
      async let talked = client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("d")
        requests.finish()
        return try await responses.reduce("") { $0 + $1 }
      }
      await written.wait()
      try await eventually("both wait") { limit.load == (1, 2) }
      await desk.letGo("a")
      #expect(await first.value == nil)
      #expect(try await collected == "bc")
      #expect(try await talked == "re: d")
      #expect(limit.load == (0, 0))
    }
  }

  @Test func eachMethodForItselfAndHealthNotAtAll() async throws {
    let limit = ConcurrencyLimit(maximum: 1, per: .method)
    try await withLimit([limit]) { desk, client, _ in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      #expect(await status { try await client.unary(Echo.say, "b") }?.code == .resourceExhausted)
      #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("c") } == "c")
      let health = Method("/\(InfrastructureServices.health)/Check", request: text, response: text)
      for _ in 0..<2 { #expect(await status { try await client.unary(health, "") }?.code == .unimplemented) }
      await desk.letGo("a")
      #expect(await first.value == nil)
    }
  }

  /// Two clients share a limit. One is closed: what waits ends at once, although the other holds the place.
  @Test func closingEndsWhatWaits() async throws {
    let limit = ConcurrencyLimit(maximum: 1, queue: 5)
    try await withLimit([limit]) { desk, client, address in
      let first = call(client, "a")
      try await eventually("the first runs") { await desk.isServing("a") }
      let other = Client(host: address.host, port: address.port, interceptors: [limit])
      let waiting = call(other, "b")
      try await eventually("the second waits") { limit.load == (1, 1) }
      await other.close()
      #expect(await waiting.value == Status(.unavailable, "the client was closed"))
      #expect(await status { try await other.unary(Echo.say, "c") } == Status(.unavailable, "the client was closed"))
      #expect(limit.load == (1, 0))
      await desk.letGo("a")
      #expect(await first.value == nil)
    }
  }

  /// Limits within limits, many callers, many of whom give up: nothing waits for ever, and every place comes back.
  @Test func placesAreNotLost() async throws {
    let outer = ConcurrencyLimit(maximum: 3, queue: 1_000)
    let inner = ConcurrencyLimit(maximum: 2, queue: 1_000, per: .method)
    var router = Echo.router
    router.unary(Echo.say) { request, _ in
      for _ in 0..<5 { await Task.yield() }
      return request
    }
    var random = SeededRandom()
    let limits = (0..<400).map { _ in Int.random(in: 0..<40, using: &random) }
    let most = NIOLockedValueBox((0, 0))
    try await withPair(router, clientInterceptors: [outer, inner]) { (client, _) async throws in
      await withTaskGroup(of: Void.self) { group in
        for milliseconds in limits {
          group.addTask {
            let options = milliseconds < 10 ? CallOptions.timeout(.milliseconds(milliseconds)) : CallOptions()
            if milliseconds % 2 == 0 {
              _ = await status { try await client.unary(Echo.say, "a", options) }
            } else {
              _ = await status { for try await _ in try await client.serverStreaming(Echo.expand, "3", options) {} }
            }
            let load = (outer.load.running, inner.load.running)
            most.withLockedValue { $0 = (max($0.0, load.0), max($0.1, load.1)) }
          }
        }
      }
      #expect(outer.load == (0, 0))
      #expect(inner.load == (0, 0))
    }
    let seen = most.withLockedValue { $0 }
    #expect(seen.0 <= 3 && seen.1 <= 3)
  }

  /// A turn that comes while its call gives up is passed on.
  @Test func aTurnThatComesTooLate() {
    var queue = SlotQueue(slots: 1, room: 2)
    let (second, third) = (SlotQueue.Waiter(), SlotQueue.Waiter())
    #expect(queue.admit() == .enters)
    for waiter in [second, third] {
      #expect(queue.admit() == .waits)
      let isWaiting = queue.add(waiter) { _ in }
      #expect(isWaiting)
    }
    #expect(queue.admit() == .isRefused)
    let hasNext = queue.release() != nil
    #expect(hasNext, "the second's turn comes …")
    #expect((queue.taken, queue.waiting) == (1, 1))
    let isPassedOn = queue.leave(second) != nil
    #expect(isPassedOn, "… and it is gone: the third has it")
    #expect((queue.taken, queue.waiting) == (1, 0))
    let hasAnother = queue.leave(third) != nil
    #expect(!hasAnother)
    #expect((queue.taken, queue.waiting) == (0, 0))
  }
}
