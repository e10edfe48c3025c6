import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Calls that are made again, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct RetryTests {
  static func policy(_ attempts: Int = 4, _ codes: Set<Status.Code> = [.unavailable]) throws -> RetryPolicy {
    try RetryPolicy(
      maximumAttempts: attempts, initialBackoff: .milliseconds(1), maximumBackoff: .milliseconds(4),
      retryableCodes: codes)
  }

  static func options(_ policy: RetryPolicy, replayBytes: Int? = nil) -> ClientOptions {
    var options = ClientOptions()
    options.methods = [MethodConfiguration(.all, attempts: .retry(policy))]
    if let replayBytes { options.replayBytes = replayBytes }
    return options
  }

  /// The echo service, whose handlers do as the script says once they have read `reading` requests (all: nil).
  static func router(_ script: Script, reading: Int? = nil) -> Router {
    var router = Echo.router
    router.unary(Echo.say) { request, context in
      try script.next(context)
      return request
    }
    router.serverStreaming(Echo.expand) { _, responses, context in
      try script.next(context)
      for number in 0..<3 { try await responses.write("\(number)") }
    }
    router.clientStreaming(Echo.collect) { requests, context in
      var all: [String] = []
      for try await request in requests {
        all.append(request)
        if all.count == reading { try script.next(context) }
      }
      if reading == nil { try script.next(context) }
      return all.joined(separator: " ")
    }
    router.bidirectional(Echo.chat) { requests, responses, context in
      var all: [String] = []
      for try await request in requests {
        all.append(request)
        if all.count == reading ?? 1 { try script.next(context) }
        if all.count >= reading ?? 1 { try await responses.write(all.joined(separator: " ")) }
      }
    }
    return router
  }

  @Test func aFailureIsRetriedAndCounted() async throws {
    let script = Script(2)
    try await withPair(Self.router(script), client: Self.options(try Self.policy())) { (client, _) async throws in
      let response = try await client.unaryResponse(Echo.say, "a")
      #expect(response.message == "a")
      #expect(response.initialMetadata["grpc-previous-rpc-attempts"] == "2")
      #expect(script.seen == [nil, "1", "2"])
      #expect(try await client.unaryResponse(Echo.say, "a").initialMetadata["grpc-previous-rpc-attempts"] == nil)
    }
  }

  @Test func attemptsRunOutAndOtherCodesAreNotRetried() async throws {
    let script = Script([Status(.unavailable, "1"), Status(.unavailable, "2"), Status(.unavailable, "3")])
    try await withPair(Self.router(script), client: Self.options(try Self.policy(3))) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.message == "3")
      #expect(script.seen == [nil, "1", "2"])
    }
    let other = Script(1, .internalError)
    try await withPair(Self.router(other), client: Self.options(try Self.policy())) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .internalError)
      #expect(other.attempts == 1)
    }
  }

  @Test func withoutAPolicyNothingIsRetried() async throws {
    let script = Script(1)
    try await withPair(Self.router(script)) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
      #expect(script.attempts == 1)
    }
  }

  @Test(arguments: [nil, 2])
  func streamsAreReplayed(reading: Int?) async throws {
    let script = Script(2)
    try await withPair(
      Self.router(script, reading: reading), client: Self.options(try Self.policy())
    ) { (client, _) async throws in
      let collected = try await client.clientStreaming(Echo.collect) { requests in
        for word in ["a", "b", "c"] { try await requests.write(word) }
      }
      #expect(collected == "a b c")
      #expect(script.seen == [nil, "1", "2"])
    }
  }

  @Test func aConversationGoesOnWhereItWas() async throws {
    let script = Script(2)
    try await withPair(
      Self.router(script, reading: 2), client: Self.options(try Self.policy())
    ) { (client, _) async throws in
      let lines = try await client.bidirectional(Echo.chat) { requests, responses in
        var lines: [String] = []
        for word in ["a", "b"] { try await requests.write(word) }
        var iterator = responses.makeAsyncIterator()
        if let line = try await iterator.next() { lines.append(line) }
        try await requests.write("c")
        requests.finish()
        while let line = try await iterator.next() { lines.append(line) }
        return lines
      }
      #expect(lines == ["a b", "a b c"])
      #expect(script.attempts == 3)
    }
  }

  @Test func aStreamOfResponsesIsRetriedOnlyBeforeItsFirst() async throws {
    let script = Script(1)
    var router = Self.router(script)
    let late = Script(1)
    router.bidirectional(Echo.chat) { _, responses, context in
      try await responses.write("too late")
      try late.next(context)
    }
    try await withPair(router, client: Self.options(try Self.policy())) { (client, _) async throws in
      var numbers: [String] = []
      for try await number in try await client.serverStreaming(Echo.expand, "") { numbers.append(number) }
      #expect(numbers == ["0", "1", "2"])
      #expect(script.attempts == 2)
      let stream = try await client.bidirectional(Echo.chat) { _ in }
      #expect(await status { for try await _ in stream {} }?.code == .unavailable)
      #expect(late.attempts == 1)
    }
  }

  // MARK: - The replay buffer

  @Test func whatIsTooLongIsNotKept() async throws {
    let script = Script(9)
    let options = Self.options(try Self.policy(), replayBytes: 20)
    try await withPair(Self.router(script, reading: 2), client: options) { (client, _) async throws in
      let long = String(repeating: "x", count: 30)
      #expect(await status { try await client.unary(Echo.say, long) }?.code == .unavailable)
      #expect(script.attempts == 1)
      let streamed = await status {
        try await client.clientStreaming(Echo.collect) { requests in
          for word in ["a", long] { try await requests.write(word) }
        }
      }
      #expect(streamed?.code == .unavailable)
      #expect(script.attempts == 2)
      #expect(await status { try await client.unary(Echo.say, "short") }?.code == .unavailable)
      #expect(script.attempts == 6)
    }
  }

  @Test func allCallsShareOneBudget() async throws {
    let script = Script(9)
    var options = Self.options(try Self.policy())
    options.replayBytesOfAllCalls = 20
    try await withPair(Self.router(script), client: options) { (client, _) async throws in
      let long = String(repeating: "x", count: 30)
      #expect(await status { try await client.unary(Echo.say, long) }?.code == .unavailable)
      #expect(script.attempts == 1)
      // What a call kept is given back in its end.
      for attempts in [5, 9] {
        #expect(await status { try await client.unary(Echo.say, "0123456789") }?.code == .unavailable)
        #expect(script.attempts == attempts)
      }
    }
  }

  // MARK: - What the server says

  @Test func pushbackDecides() async throws {
    let never = Script([Script.pushback("-1")])
    try await withPair(Self.router(never), client: Self.options(try Self.policy())) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
      #expect(never.attempts == 1)
    }
    // A backoff of an hour, but the server says when.
    let soon = Script([Script.pushback("1"), Script.pushback("0")])
    let patient = try RetryPolicy(maximumAttempts: 3, initialBackoff: .seconds(3600), maximumBackoff: .seconds(3600))
    try await withPair(Self.router(soon), client: Self.options(patient)) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "a") == "a")
      #expect(soon.attempts == 3)
    }
  }

  @Test func throttlingStopsRetriesUntilCallsSucceed() async throws {
    let script = Script(3)
    var options = Self.options(try Self.policy(2))
    options.retryThrottling = try RetryThrottling(maximumTokens: 4, tokenRatio: 1)
    try await withPair(Self.router(script), client: options) { (client, _) async throws in
      // The second failure leaves two of four tokens.
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
      #expect(script.attempts == 2)
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
      #expect(script.attempts == 3)
      for _ in 0..<3 { _ = try await client.unary(Echo.blob, .init(string: "b")) }
    }
    let refilled = Script(4)
    try await withPair(Self.router(refilled), client: options) { (client, _) async throws in
      for attempts in [2, 3] {
        #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
        #expect(refilled.attempts == attempts)
      }
      for _ in 0..<3 { _ = try await client.unary(Echo.blob, .init(string: "b")) }
      #expect(try await client.unary(Echo.say, "a") == "a")
      #expect(refilled.attempts == 5)
    }
  }

  // MARK: - One call, however many attempts

  @Test func theDeadlineIsOverAllAttempts() async throws {
    let script = Script([Status(.unavailable, "busy"), Script.pushback("3600000")])
    try await withPair(Self.router(script), client: Self.options(try Self.policy())) { (client, _) async throws in
      let late = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(300))) }
      #expect(late?.code == .deadlineExceeded)
      #expect(late?.message == "the deadline passed; the last of 2 attempts failed: UNAVAILABLE: as told")
      #expect(script.attempts == 2)
    }
  }

  @Test func cancellationAndCloseEndTheWait() async throws {
    let script = Script(Array(repeating: Script.pushback("3600000"), count: 3))
    try await withPair(Self.router(script), client: Self.options(try Self.policy())) { (client, _) async throws in
      let call = Task { await status { try await client.unary(Echo.say, "a") } }
      try await eventually("the first attempt") { script.attempts == 1 }
      call.cancel()
      #expect(await call.value?.code == .cancelled)
      async let closed = status { try await client.unary(Echo.say, "a") }
      try await eventually("the second call") { script.attempts == 2 }
      // The failure may still be on its way: until it is there, closing ends the attempt, and then the call.
      await client.close()
      #expect(await closed?.code == .unavailable)
      #expect(script.attempts == 2)
    }
  }

  @Test func interceptorsSeeOneCall() async throws {
    let record = InterceptorTests.Record()
    let script = Script(2)
    try await withPair(
      Self.router(script), client: Self.options(try Self.policy()),
      clientInterceptors: [InterceptorTests.Caller(name: "c", record: record)]
    ) { (client, _) async throws in
      _ = try await client.unary(Echo.say, "a")
      _ = try await client.clientStreaming(Echo.collect) { try await $0.write("b") }
      try await record.becomes([
        "c begins /test.Echo/Say", "c: OK", "c begins /test.Echo/Collect", "c: OK",
      ])
      #expect(script.attempts == 4)
    }
  }

  @Test func compressedRequestsAreReplayedCompressed() async throws {
    let script = Script(1)
    var options = Self.options(try Self.policy())
    options.compression = .gzip
    options.compressionThreshold = 0
    try await withPair(Self.router(script), client: options) { (client, _) async throws in
      let long = String(repeating: "long ", count: 1_000)
      #expect(try await client.unary(Echo.say, long) == long)
      #expect(try await client.clientStreaming(Echo.collect) { try await $0.write(long) } == long)
      #expect(script.attempts == 3)
    }
  }

  /// The attempts of calls that have given up do not go on waiting for a server.
  @Test func attemptsLeaveTheQueueWithTheirCalls() async throws {
    let server = try await NamedServer.start("gone")
    await server.stop()
    var options = ClientOptions()
    options.methods = [MethodConfiguration(.all, waitForReady: true, attempts: .retry(try Self.policy()))]
    let client = Client(.addresses([server.address]), options: options)
    await withTaskGroup(of: Status?.self) { group in
      for _ in 0..<50 {
        group.addTask { await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(10))) } }
      }
      for await outcome in group { #expect(outcome?.code == .deadlineExceeded) }
    }
    #expect(try await client.look { $0.queue.count } == 0)
    #expect(try await client.look { $0.queue.capacityUsed } == 0)
    await client.close()
  }
}
