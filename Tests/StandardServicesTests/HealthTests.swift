import Messages
import RPC
import StandardServices
import Stubs
import Testing

@Suite struct HealthTests {
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
    try await withHealth { health, client in
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
    try await withHealth { _, client in
      let error = try await #require(throws: Status.self) { try await client.check(.init(service: "example.None")) }
      #expect(error.code == .notFound)
    }
  }

  @Test func watchersSeeTheStopAndAreLetGo() async throws {
    try await withHealth { health, client in
      var responses = try await client.watch(.init(service: "example.Greeter")).makeAsyncIterator()
      #expect(try await responses.next()?.status == .serving)
      health.stop()
      #expect(try await responses.next()?.status == .notServing)
      let error = try await #require(throws: Status.self) { try await responses.next() }
      #expect(error.code == .unavailable)
    }
  }
}
