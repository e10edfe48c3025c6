import NIOCore
import TestSupport
import Testing

@testable import RPC

/// What a client is told of its methods.
@Suite(.timeLimit(.minutes(2)))
struct MethodConfigurationTests {
  @Test func theMostSpecificNameWins() {
    let table = MethodTable([
      MethodConfiguration(.all, timeout: .seconds(1)),
      MethodConfiguration(.service("a.B"), timeout: .seconds(2)),
      MethodConfiguration(.method("a.B/C"), .method("/a.B/D"), timeout: .seconds(3)),
      MethodConfiguration(.method("/a.B/C"), timeout: .seconds(4)),
    ])
    func seconds(_ path: String) -> Duration? { table?[path: path]?.timeout }
    #expect(seconds("/a.B/C") == .seconds(3))
    #expect(seconds("/a.B/D") == .seconds(3))
    #expect(seconds("/a.B/E") == .seconds(2))
    #expect(seconds("/a.BC/E") == .seconds(1))
    #expect(seconds("") == .seconds(1))
    #expect(MethodTable([]) == nil)
    #expect(MethodTable([MethodConfiguration(.service("a.B"))])?[path: "/b.B/C"] == nil)
  }

  @Test func badValuesAreRefused() {
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 1) }
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 2, initialBackoff: .zero) }
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 2, maximumBackoff: .seconds(-1)) }
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 2, backoffMultiplier: 0) }
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 2, backoffMultiplier: .nan) }
    #expect(throws: InvalidConfiguration.self) { try RetryPolicy(maximumAttempts: 2, retryableCodes: []) }
    #expect(throws: InvalidConfiguration.self) { try HedgingPolicy(maximumAttempts: 0, hedgingDelay: .zero) }
    #expect(throws: InvalidConfiguration.self) { try HedgingPolicy(maximumAttempts: 2, hedgingDelay: .seconds(-1)) }
    #expect(throws: InvalidConfiguration.self) { try RetryThrottling(maximumTokens: 0, tokenRatio: 1) }
    #expect(throws: InvalidConfiguration.self) { try RetryThrottling(maximumTokens: 1001, tokenRatio: 1) }
    #expect(throws: InvalidConfiguration.self) { try RetryThrottling(maximumTokens: 10, tokenRatio: 0) }
    #expect((try? RetryPolicy(maximumAttempts: 99))?.maximumAttempts == 5)
    #expect((try? RetryPolicy(maximumAttempts: 4)) == .unavailable)
  }

  @Test func timeoutsAndLimits() async throws {
    var options = ClientOptions()
    options.methods = [
      MethodConfiguration(.all, timeout: .milliseconds(50)),
      MethodConfiguration(.method(Echo.blob.path), maximumRequestBytes: 10, maximumResponseBytes: 5),
    ]
    let (started, cancelled) = (Gate(), Gate())
    var router = DeadlineTests.waiting(started, cancelled)
    router.unary(Echo.blob) { request, _ in request }
    try await withPair(router, client: options) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a", .timeout(.seconds(60))) }?.code == .deadlineExceeded)
      #expect(try await client.unary(Echo.blob, .init(string: "12345")).readableBytes == 5)
      let tooLong = await status { try await client.unary(Echo.blob, .init(string: "123456")) }
      #expect(tooLong?.message == "a message of 6 bytes is over the limit of 5")
      let farTooLong = await status { try await client.unary(Echo.blob, .init(string: "12345678901")) }
      #expect(farTooLong?.message == "a message of 11 bytes is over the limit of 10")
    }
  }

  @Test func waitForReadyAsADefault() async throws {
    let port = try await ConnectionTests.freePort()
    var options = ClientOptions()
    options.methods = [MethodConfiguration(.all, waitForReady: true)]
    let client = Client(host: "127.0.0.1", port: port, options: options)
    #expect(try await callBeforeServer(client, port: port) == "patience")
  }

  /// A server that cannot be reached is UNAVAILABLE too.
  @Test func aServerThatComesLater() async throws {
    let port = try await ConnectionTests.freePort()
    var options = ClientOptions()
    options.minimumBackoff = .milliseconds(1)
    options.maximumBackoff = .milliseconds(1)
    let policy = try RetryPolicy(maximumAttempts: 5, initialBackoff: .seconds(1), maximumBackoff: .seconds(1))
    options.methods = [MethodConfiguration(.all, attempts: .retry(policy))]
    let client = Client(host: "127.0.0.1", port: port, options: options)
    #expect(try await callBeforeServer(client, port: port) == "patience")
  }
}
