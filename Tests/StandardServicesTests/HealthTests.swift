import Messages
import RPC
import Stubs
import TestSupport
import Testing

@testable import StandardServices

@Suite(.timeLimit(.minutes(2))) struct HealthTests {
  private typealias ServingStatus = Health.ServingStatus

  /// Serves the health of one service and hands a client of it to `body`.
  private func withHealth(_ body: (Health, GrpcHealthV1HealthClient) async throws -> Void) async throws {
    let health = Health(services: ["example.Greeter"])
    var router = Router()
    router.register(health)
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    try await body(health, GrpcHealthV1HealthClient(client))
    await client.close()
    await server.shutdown(grace: .zero)
  }

  @Test func whatIsServedIsServingUntilItStops() async throws {
    try await withHealth { (health, client) async throws in
      for name in ["", "example.Greeter"] {
        let answer = try await client.check(.init(service: name))
        #expect(answer.status == .serving)
      }
      health.stop()
      let answer = try await client.check(.init(service: "example.Greeter"))
      #expect(answer.status == .notServing)
    }
  }

  @Test func anUnknownServiceIsNotFound() async throws {
    try await withHealth { (_, client) async throws in
      let error = try await #require(throws: Status.self) { try await client.check(.init(service: "example.None")) }
      #expect(error.code == .notFound)
    }
  }

  @Test func aNameThatIsTooLongIsRefusedAndNotKept() async throws {
    try await withHealth { (health, client) async throws in
      let long = String(repeating: "x", count: Health.nameLimit)
      let known = try await #require(throws: Status.self) { try await client.check(.init(service: long)) }
      #expect(known.code == .notFound)
      let checked = try await #require(throws: Status.self) { try await client.check(.init(service: long + "x")) }
      #expect(checked.code == .invalidArgument)
      let watched = try await #require(throws: Status.self) {
        for try await _ in try await client.watch(.init(service: long + "x")) {}
      }
      #expect(watched.code == .invalidArgument)
      #expect(health.watcherCount == 0)
    }
  }

  @Test func watchersSeeTheStopAndAreLetGo() async throws {
    try await withHealth { (health, client) async throws in
      var responses = try await client.watch(.init(service: "example.Greeter")).makeAsyncIterator()
      #expect(try await responses.next()?.status == .serving)
      health.stop()
      #expect(try await responses.next()?.status == .notServing)
      let error = try await #require(throws: Status.self) { try await responses.next() }
      #expect(error.code == .unavailable)
    }
  }

  @Test func eachServiceHasAStatusOfItsOwn() async throws {
    try await withHealth { (health, client) async throws in
      health.set(.notServing, for: "example.Greeter")
      #expect(try await client.check(.init(service: "example.Greeter")).status == .notServing)
      #expect(try await client.check(.init(service: "")).status == .serving)
      health.setAll(.notServing)
      #expect(try await client.check(.init(service: "")).status == .notServing)
    }
  }

  @Test func aStopCanBeTakenBack() async throws {
    try await withHealth { (health, client) async throws in
      health.stop()
      health.set(.serving, for: "example.New")
      #expect(try await client.check(.init(service: "example.New")).status == .notServing)
      health.resume()
      for name in ["", "example.Greeter", "example.New"] {
        #expect(try await client.check(.init(service: name)).status == .serving)
      }
    }
  }

  @Test func aWatcherSeesEveryChangeAndAServiceThatIsNew() async throws {
    try await withHealth { (health, client) async throws in
      var responses = try await client.watch(.init(service: "example.New")).makeAsyncIterator()
      #expect(try await responses.next()?.status == .serviceUnknown)
      for status in [ServingStatus.notServing, .serving, .notServing, .unknown, .serving] {
        // What stays the same is not told.
        health.set(status, for: "example.New")
        health.set(status, for: "example.New")
        health.set(.notServing, for: "example.Greeter")
        #expect(try await responses.next()?.status == status)
      }
    }
  }

  /// A thousand watchers of one service: all see the last status, and leave nothing behind.
  @Test func manyWatchersSeeTheLatest() async throws {
    let health = Health(services: ["example.Greeter"])
    var router = Router()
    router.register(health)
    var options = ServerOptions()
    options.maximumStreams = 1_000
    options.maximumHandlers = 1_000
    options.resetBurst = 1_000  // whoever has seen the last status gives up its stream, while others wait for it
    let server = Server(router: router, options: options)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    let watchers = GrpcHealthV1HealthClient(client)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<1_000 {
        group.addTask {
          for try await answer in try await watchers.watch(.init(service: "example.Greeter")) {
            if answer.status == .unknown { return }
          }
        }
      }
      try await eventually("all watch") { health.watcherCount == 1_000 }
      for number in 0..<100 { health.set(number % 2 == 0 ? .notServing : .serving, for: "example.Greeter") }
      health.set(.unknown, for: "example.Greeter")
      try await group.waitForAll()
    }
    try await eventually("all are gone") { health.watcherCount == 0 }
    await client.close()
    await server.shutdown(grace: .zero)
  }

  @Test func allStatusesAtOnce() async throws {
    try await withHealth { (health, client) async throws in
      health.set(.notServing, for: "example.Greeter")
      let statuses = try await client.list(.init()).statuses.mapValues(\.status)
      #expect(statuses == ["": .serving, "example.Greeter": .notServing])
      for number in 0..<100 { health.set(.serving, for: "example.Service\(number)") }
      let error = try await #require(throws: Status.self) { try await client.list(.init()) }
      #expect(error.code == .resourceExhausted)
    }
  }
}
