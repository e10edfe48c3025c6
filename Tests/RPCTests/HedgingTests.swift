import RPC
import TestSupport
import Testing

/// Copies of one call, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct HedgingTests {
  private static func options(_ attempts: Int = 3, delay: Duration = .milliseconds(20)) throws -> ClientOptions {
    var options = ClientOptions()
    let policy = try HedgingPolicy(maximumAttempts: attempts, hedgingDelay: delay)
    options.methods = [MethodConfiguration(.service("test.Echo"), attempts: .hedge(policy))]
    return options
  }

  @Test func theSlowOneIsCancelledAtTheServer() async throws {
    let (arrived, cancelled) = (Counter(), Counter())
    var router = Router()
    router.unary(Echo.say) { request, context in
      arrived.add(1)
      guard context.metadata["grpc-previous-rpc-attempts"] == "1" else {
        try? await Task.sleep(for: .seconds(3600))
        if Task.isCancelled { cancelled.add(1) }
        throw CancellationError()
      }
      return "copy of \(request)"
    }
    try await withPair(router, client: try Self.options(2)) { (client, _) async throws in
      let response = try await client.unaryResponse(Echo.say, "a")
      #expect(response.message == "copy of a")
      #expect(response.initialMetadata["grpc-previous-rpc-attempts"] == "1")
      try await eventually("the loser is cancelled") { cancelled.value == 1 }
      #expect(arrived.value == 2)
    }
  }

  @Test func aFailureBringsTheNextAtOnce() async throws {
    let script = Script(2)
    try await withPair(RetryTests.router(script), client: try Self.options(delay: .seconds(3600))) {
      (client, _) async throws in
      #expect(try await client.unary(Echo.say, "a") == "a")
      #expect(script.seen == [nil, "1", "2"])
    }
  }

  @Test func aFatalFailureIsTheCalls() async throws {
    let script = Script(1, .permissionDenied)
    try await withPair(RetryTests.router(script), client: try Self.options(delay: .seconds(3600))) {
      (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .permissionDenied)
      #expect(script.attempts == 1)
    }
  }

  @Test func allFail() async throws {
    let script = Script(5)
    try await withPair(RetryTests.router(script), client: try Self.options(delay: .zero)) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
      #expect(script.attempts == 3)
    }
  }

  @Test func requestsGoToEveryCopy() async throws {
    let both = Counter()
    let release = Gate()
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, context in
      var all = ""
      for try await request in requests { all += request }
      both.add(1)
      if both.value == 2 { await release.open() }
      await release.wait()
      guard context.metadata["grpc-previous-rpc-attempts"] != nil else {
        try await Task.sleep(for: .seconds(3600))
        return "never"
      }
      return all
    }
    try await withPair(router, client: try Self.options(2, delay: .milliseconds(1))) { (client, _) async throws in
      let collected = try await client.clientStreaming(Echo.collect) { requests in
        for word in ["a", "b", "c"] { try await requests.write(word) }
      }
      #expect(collected == "abc")
      #expect(both.value == 2)
    }
  }

  @Test func anOverflowLeavesOneCopy() async throws {
    let (arrived, cancelled) = (Counter(), Counter())
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, _ in
      arrived.add(1)
      do {
        var bytes = 0
        for try await request in requests { bytes += request.count }
        return "\(bytes)"
      } catch {
        cancelled.add(1)
        throw error
      }
    }
    var options = try Self.options(3, delay: .zero)
    options.replayBytes = 2_000
    try await withPair(router, client: options) { (client, _) async throws in
      let total = try await client.clientStreaming(Echo.collect) { requests in
        try await requests.write("x")
        try await eventually("all copies arrive") { arrived.value == 3 }
        for _ in 0..<300 { try await requests.write(String(repeating: "x", count: 1_000)) }
      }
      #expect(total == "300001")
      try await eventually("the others are cancelled") { cancelled.value == 2 }
    }
  }

  @Test func theDeadlineEndsEveryCopy() async throws {
    let cancelled = Counter()
    var router = Router()
    router.unary(Echo.say) { _, _ in
      try? await Task.sleep(for: .seconds(3600))
      cancelled.add(1)
      return "late"
    }
    try await withPair(router, client: try Self.options(3, delay: .zero)) { (client, _) async throws in
      let late = await status { try await client.unary(Echo.say, "a", .timeout(.milliseconds(200))) }
      #expect(late?.code == .deadlineExceeded)
      try await eventually("every copy is cancelled") { cancelled.value == 3 }
    }
  }
}
