import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Options at the ends of what their types hold: no side may die of one, and none may wait for ever. What means "no
/// limit" serves.
@Suite(.timeLimit(.minutes(2)))
struct OptionExtremesTests {
  private static let numbers = [0, -1, .min, .max]
  private static let times: [Duration] = [.zero, .nanoseconds(-1), .seconds(Int64.min), .seconds(Int64.max)]
  private static var patience: CallOptions { .timeout(.seconds(20)) }

  private let serverNumbers: [(String, WritableKeyPath<ServerOptions, Int>)] = [
    ("maximumRequestBytes", \.maximumRequestBytes), ("maximumResponseBytes", \.maximumResponseBytes),
    ("compressionThreshold", \.compressionThreshold), ("maximumStreams", \.maximumStreams),
    ("maximumHandlers", \.maximumHandlers), ("maximumConnections", \.maximumConnections),
    ("maximumConnectionsPerPeer", \.maximumConnectionsPerPeer), ("maximumMetadataBytes", \.maximumMetadataBytes),
    ("maximumMetadataEntries", \.maximumMetadataEntries), ("streamWindow", \.streamWindow),
    ("connectionWindow", \.connectionWindow), ("maximumBufferedBytes", \.maximumBufferedBytes),
    ("resetBurst", \.resetBurst), ("resetsPerSecond", \.resetsPerSecond),
    ("maximumProvokedResets", \.maximumProvokedResets), ("pingStrikes", \.pingStrikes),
    ("settingsPerMinute", \.settingsPerMinute), ("maximumIdleFrames", \.maximumIdleFrames),
    ("minimumReadRate", \.minimumReadRate), ("logLinesPerSecond", \.logLinesPerSecond),
  ]

  private static let serverTimes: [(String, @Sendable (inout ServerOptions, Duration) -> Void)] = [
    ("minimumPingInterval", { $0.minimumPingInterval = $1 }), ("handshakeTimeout", { $0.handshakeTimeout = $1 }),
    ("requestTimeout", { $0.requestTimeout = $1 }), ("writeStallTimeout", { $0.writeStallTimeout = $1 }),
    ("shutdownGrace", { $0.shutdownGrace = $1 }), ("maximumConnectionAge", { $0.maximumConnectionAge = $1 }),
    (
      "maximumConnectionAgeGrace",
      { ($0.maximumConnectionAge, $0.maximumConnectionAgeGrace) = (.milliseconds(1), $1) }
    ),
    ("maximumConnectionIdle", { $0.maximumConnectionIdle = $1 }), ("keepaliveInterval", { $0.keepaliveInterval = $1 }),
    ("keepaliveTimeout", { ($0.keepaliveInterval, $0.keepaliveTimeout) = (.milliseconds(1), $1) }),
  ]

  private let clientNumbers: [(String, WritableKeyPath<ClientOptions, Int>)] = [
    ("connectionsPerAddress", \.connectionsPerAddress), ("maximumQueuedCalls", \.maximumQueuedCalls),
    ("maximumResponseBytes", \.maximumResponseBytes), ("maximumRequestBytes", \.maximumRequestBytes),
    ("maximumMetadataBytes", \.maximumMetadataBytes), ("streamWindow", \.streamWindow),
    ("connectionWindow", \.connectionWindow), ("settingsPerMinute", \.settingsPerMinute),
    ("maximumIdleFrames", \.maximumIdleFrames), ("compressionThreshold", \.compressionThreshold),
    ("replayBytes", \.replayBytes), ("replayBytesOfAllCalls", \.replayBytesOfAllCalls),
  ]

  private static let clientTimes: [(String, @Sendable (inout ClientOptions, Duration) -> Void)] = [
    ("connectTimeout", { $0.connectTimeout = $1 }), ("connectionAttemptDelay", { $0.connectionAttemptDelay = $1 }),
    ("minimumBackoff", { $0.minimumBackoff = $1 }), ("maximumBackoff", { $0.maximumBackoff = $1 }),
    ("idleTimeout", { $0.idleTimeout = $1 }), ("resolveInterval", { $0.resolveInterval = $1 }),
    ("minimumResolveInterval", { $0.minimumResolveInterval = $1 }),
    ("keepaliveInterval", { ($0.keepaliveInterval, $0.keepaliveWithoutCalls) = ($1, true) }),
    ("keepaliveTimeout", { ($0.keepaliveInterval, $0.keepaliveTimeout) = (.milliseconds(1), $1) }),
  ]

  // MARK: - Trials

  /// What becomes of a call, a stream that is given up, and another call.
  private static func outcomes(_ client: Client) async -> [Status?] {
    let first = await status { try await client.unary(Echo.say, "first", patience) }
    let stream = await status {
      for try await _ in try await client.serverStreaming(Echo.expand, "1000", patience) { break }
    }
    return [first, stream, await status { try await client.unary(Echo.say, "second", patience) }]
  }

  private func judge(_ name: String, isUnlimited: Bool, _ outcomes: [Status?]) {
    for outcome in outcomes {
      if isUnlimited {
        #expect(outcome == nil, "\(name)")
      } else if let outcome {
        // A deadline would have been this test's, but for one option that ends calls with it.
        let codes: Set<Status.Code> =
          name == "requestTimeout" ? [.deadlineExceeded] : [.resourceExhausted, .unavailable]
        #expect(codes.contains(outcome.code), "\(name): \(outcome)")
      }
    }
  }

  private func tryServer(_ name: String, isUnlimited: Bool, _ change: (inout ServerOptions) -> Void) async throws {
    var (options, clientOptions) = (ServerOptions(), ClientOptions())
    (options.compression, clientOptions.compression, clientOptions.compressionThreshold) = (.gzip, .gzip, 0)
    change(&options)
    let server = Server(router: Echo.router, options: options, log: { _ in })
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port, options: clientOptions)
    judge(name, isUnlimited: isUnlimited, await Self.outcomes(client))
    await client.close()
    await server.shutdown()
  }

  @Test(arguments: numbers)
  func numbersOfAServer(value: Int) async throws {
    for (name, path) in serverNumbers {
      try await tryServer(name, isUnlimited: value == .max) { $0[keyPath: path] = value }
    }
  }

  @Test(arguments: times)
  func timesOfAServer(value: Duration) async throws {
    for (name, change) in Self.serverTimes {
      // An age, however it is meant, ends no call; a peer that may not ask is cut off at the second PING.
      let isUnlimited = value > .seconds(1) && name != "maximumConnectionAgeGrace"
      try await tryServer(name, isUnlimited: isUnlimited) { change(&$0, value) }
    }
  }

  private func tryClient(_ name: String, isUnlimited: Bool, _ change: (inout ClientOptions) -> Void) async throws {
    var options = ClientOptions()
    options.compression = .gzip
    change(&options)
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: "localhost", port: address.port, options: options)
    judge(name, isUnlimited: isUnlimited, await Self.outcomes(client))
    await client.close()
    await server.shutdown(grace: .zero)
    // Nobody is there any more: it rests after that.
    let lonely = Client(host: address.host, port: address.port, options: options)
    let end = await status { try await lonely.unary(Echo.say, "a", Self.patience) }
    #expect(end?.code == .unavailable || end?.code == .resourceExhausted, "\(name): \(String(describing: end))")
    await lonely.close()
  }

  @Test(arguments: numbers)
  func numbersOfAClient(value: Int) async throws {
    for (name, path) in clientNumbers {
      try await tryClient(name, isUnlimited: value == .max) { $0[keyPath: path] = value }
    }
  }

  @Test(arguments: times)
  func timesOfAClient(value: Duration) async throws {
    for (name, change) in Self.clientTimes {
      // The server does not want to be asked every millisecond.
      let isUnlimited = value > .seconds(1) && name != "keepaliveTimeout"
      try await tryClient(name, isUnlimited: isUnlimited) { change(&$0, value) }
    }
  }

  @Test(arguments: [0, -1, .nan, .infinity, -.infinity, .greatestFiniteMagnitude] as [Double])
  func multipliers(value: Double) async throws {
    try await tryClient("backoffMultiplier", isUnlimited: true) { $0.backoffMultiplier = value }
  }

  // MARK: - What takes time to come up

  @Test func restsFitIntoTheTimeThatIsLeft() {
    var backoff = Backoff(minimum: .max, maximum: .max, multiplier: Double.infinity)
    for _ in 0..<3 { #expect(Deadline.now.addingReportingOverflow(backoff.rest(spread: 1)).overflow == false) }
  }

  @Test func aKeepaliveThatWaitsForEver() {
    var keepalive = Keepalive(interval: 1_000_000, timeout: .max, withoutCalls: true, now: 1)
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 2_000_000) == .ping(1_000_000))
    #expect(keepalive.check(hasHeard: false, isInUse: true, now: 3_000_000) == .wait(1_000_000))
  }

  /// As the kernel lays it out.
  @Test func whatTheKernelTellsOfTCP() {
    #expect(MemoryLayout<TCPProgress>.offset(of: \.unacknowledged) == 24)
    #expect(MemoryLayout<TCPProgress>.offset(of: \.acknowledged) == 120)
    #expect(MemoryLayout<TCPProgress>.offset(of: \.unsent) == 144)
  }
}
