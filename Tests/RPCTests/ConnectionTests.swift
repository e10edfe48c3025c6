import NIOCore
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct ConnectionTests {
  /// A port where nothing listens.
  static func freePort() async throws -> Int {
    let server = Server(router: Router())
    let address = try await server.start(host: "127.0.0.1", port: 0)
    await server.shutdown(grace: .zero)
    return address.port
  }

  @Test func aRefusedConnectionIsUnavailableAtOnce() async throws {
    let client = Client(host: "127.0.0.1", port: try await Self.freePort())
    let clock = ContinuousClock()
    let start = clock.now
    for _ in 0..<5 {
      let status = await status { try await client.unary(Echo.say, "a") }
      #expect(status?.code == .unavailable)
      #expect(status?.message.contains("cannot be reached") == true)
    }
    #expect(clock.now - start < .seconds(20))
    await client.close()
  }

  @Test func aServerThatComesBackIsFound() async throws {
    let port = try await Self.freePort()
    let client = Client(host: "127.0.0.1", port: port)
    for round in 0..<3 {
      let server = Server(router: Echo.router)
      _ = try await server.start(host: "127.0.0.1", port: port)
      try await eventually("round \(round) connects") {
        await status { try await client.unary(Echo.say, "a") } == nil
      }
      await server.shutdown(grace: .seconds(5))
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
    }
    await client.close()
  }

  @Test func waitForReadyWaits() async throws {
    let port = try await Self.freePort()
    let client = Client(host: "127.0.0.1", port: port)
    let impatient = CallOptions(deadline: .after(.milliseconds(300)), waitForReady: true)
    #expect(await status { try await client.unary(Echo.say, "a", impatient) }?.code == .deadlineExceeded)
    #expect(try await callBeforeServer(client, port: port, CallOptions(waitForReady: true)) == "patience")
  }

  @Test func shutdownFinishesWhatRunsAndRefusesWhatComes() async throws {
    let (started, release) = (Gate(), Gate())
    var router = Router()
    router.unary(Echo.say) { request, _ in
      await started.open()
      await release.wait()
      return request
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    async let inFlight = client.unary(Echo.say, "in flight")
    await started.wait()
    async let stopped: Void = server.shutdown(grace: .seconds(60))
    try await eventually("new calls are refused") {
      await status { try await client.unary(Echo.say, "new", .timeout(.milliseconds(500))) }?.code == .unavailable
    }
    await release.open()
    #expect(try await inFlight == "in flight")
    await stopped
    await client.close()
  }

  @Test func whatOutlastsTheGraceIsCancelled() async throws {
    let (started, cancelled) = (Gate(), Gate())
    let server = Server(router: DeadlineTests.waiting(started, cancelled))
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    async let result = status { try await client.unary(Echo.say, "a") }
    await started.wait()
    await server.shutdown(grace: .milliseconds(50))
    #expect(await result?.code == .unavailable)
    await cancelled.wait()
    await client.close()
  }

  @Test func aPortThatIsTaken() async throws {
    let first = Server(router: Router())
    let address = try await first.start(host: "127.0.0.1", port: 0)
    do {
      _ = try await Server(router: Router()).start(host: "127.0.0.1", port: address.port)
      Issue.record("two servers on one port")
    } catch let error as BindError {
      #expect(error.isInUse)
      #expect(error.description == "cannot listen on 127.0.0.1:\(address.port): the address is already in use")
    }
    await first.shutdown(grace: .zero)
  }

  @Test func aClosedClientSaysSo() async throws {
    try await withPair { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "a") == "a")
      await client.close()
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
    }
  }

  /// A client that goes out of scope while its stream is read lets the stream finish.
  @Test func aDroppedClientFinishesItsStreams() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let responses = try await {
      let client = Client(host: address.host, port: address.port)
      _ = try await client.unary(Echo.say, "connect")
      return try await client.serverStreaming(Echo.expand, "1000 times")
    }()
    var count = 0
    for try await _ in responses { count += 1 }
    #expect(count == 1000)
    await server.shutdown(grace: .zero)
  }

  @Test func anotherProtocolIsUnavailable() async throws {
    let listener = try await HangUp.start()
    let client = Client(host: "127.0.0.1", port: listener.port)
    #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
    await client.close()
    await listener.stop()
  }

  @Test func interceptorsStandAroundEveryHandler() async throws {
    struct Door: ServerInterceptor {
      let name: String
      func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
        if context.metadata["x-stop"] == name { throw Status(.permissionDenied, name) }
        do {
          try await next()
        } catch let status as Status {
          throw Status(status.code, "\(name)(\(status.message))")
        }
      }
    }
    var router = Echo.router
    router.unary(Echo.missing) { _, _ in throw Status(.notFound, "handler") }
    try await withPair(router, interceptors: [Door(name: "outer"), Door(name: "inner")]) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "a") == "a")
      #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("b") } == "b")
      let stopped = await status { try await client.unary(Echo.say, "a", CallOptions(metadata: ["x-stop": "inner"])) }
      #expect(stopped == Status(.permissionDenied, "outer(inner)"))
      #expect(await status { try await client.unary(Echo.missing, "a") }?.message == "outer(inner(handler))")
    }
  }
}
