import NIOCore
import TestSupport
import Testing

@testable import RPC

/// What becomes of calls with a policy when their client is closed or dropped.
@Suite(.timeLimit(.minutes(2)))
struct ClosedClientTests {
  /// Waits an hour between attempts.
  private static func options() throws -> ClientOptions {
    RetryTests.options(
      try RetryPolicy(maximumAttempts: 5, initialBackoff: .seconds(3600), maximumBackoff: .seconds(3600)))
  }

  private static let closed = Status(.unavailable, "the client was closed")
  private static var patience: CallOptions { .timeout(.seconds(30)) }

  /// A call made afterwards makes no attempts.
  @Test(arguments: [false, true])
  func aCallAfterTheEnd(hedges: Bool) async throws {
    var options = try Self.options()
    if hedges {
      let policy = try HedgingPolicy(maximumAttempts: 3, hedgingDelay: .seconds(3600))
      options.methods = [MethodConfiguration(.all, attempts: .hedge(policy))]
    }
    try await withPair(client: options) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "a") == "a")
      await client.close()
      #expect(await status { try await client.unary(Echo.say, "a", Self.patience) } == Self.closed)
      let left = try await client.look { $0.uncommitted.count }
      #expect(left == 0)
    }
  }

  /// Calls that come while the client is closed end, too, whichever comes first.
  @Test func callsDuringTheEnd() async throws {
    try await withPair(client: try Self.options()) { (client, _) async throws in
      await withTaskGroup(of: Status?.self) { group in
        for _ in 0..<8 {
          group.addTask {
            while true {
              if let end = await status({ try await client.unary(Echo.say, "a", Self.patience) }) { return end }
            }
          }
        }
        group.addTask {
          await client.close()
          return Self.closed
        }
        for await end in group { #expect(end == Self.closed) }
      }
    }
  }

  private func withServer(_ router: Router, _ body: (BoundAddress) async throws -> Void) async throws {
    let server = Server(router: router)
    try await body(try await server.start(host: "127.0.0.1", port: 0))
    await server.shutdown(grace: .zero)
  }

  /// The client is gone while a call waits for its second attempt.
  @Test func aClientThatIsDroppedBetweenAttempts() async throws {
    let script = Script(9)
    try await withServer(RetryTests.router(script)) { address in
      var client: Client? = Client(host: address.host, port: address.port, options: try Self.options())
      let responses = try #require(try await client?.serverStreaming(Echo.expand, "", Self.patience))
      let channel = client?.channel
      try await eventually("the first attempt has failed") {
        try await channel?.loop.submit { channel?.uncommitted.values.first?.attempts.isEmpty }.get() == true
      }
      client = nil
      let end = await status { for try await _ in responses {} }
      #expect(end == Self.closed)
      #expect(script.attempts == 1)
    }
  }

  /// … or while one is under way: that one counts.
  @Test(arguments: [true, false])
  func aClientThatIsDroppedDuringAnAttempt(succeeds: Bool) async throws {
    let (started, release, script) = (Gate(), Gate(), Script(succeeds ? 0 : 9))
    var router = Router()
    router.serverStreaming(Echo.expand) { _, responses, context in
      await started.open()
      await release.wait()
      try script.next(context)
      try await responses.write("done")
    }
    try await withServer(router) { address in
      var client: Client? = Client(host: address.host, port: address.port, options: try Self.options())
      let responses = try #require(try await client?.serverStreaming(Echo.expand, "", Self.patience))
      await started.wait()
      let channel = client?.channel
      client = nil
      try await eventually("it is closed") { try await channel?.loop.submit { channel?.isClosed }.get() == true }
      await release.open()
      var received: [String] = []
      let end = await status { for try await response in responses { received.append(response) } }
      #expect(received == (succeeds ? ["done"] : []))
      #expect(end == (succeeds ? nil : Self.closed))
      #expect(script.attempts == 1)
    }
  }
}
