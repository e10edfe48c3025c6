import HTTP2
import Testing

@testable import RPC

/// Numbers that are no port.
@Suite(.timeLimit(.minutes(2)))
struct PortTests {
  private struct Fixed: NameResolver {
    func addresses(of host: String, port: Int) async throws -> [ServerAddress] { [.ip("127.0.0.1", port: port)] }
  }

  @Test(arguments: [-1, 65_536, 99_999, Int.min, Int.max])
  func aClientSaysThatItIsNone(port: Int) async throws {
    var options = ClientOptions()
    options.resolver = Fixed()
    let targets: [Target] = [
      .host("127.0.0.1", port: port), .host("a.name", port: port), .addresses([.ip("127.0.0.1", port: port)]),
    ]
    for target in targets {
      let client = Client(target, options: options)
      let status = await status { try await client.unary(Echo.say, "a") }
      #expect(status?.code == .unavailable)
      #expect(status?.message.contains("\(port) is not a port") == true)
      await client.close()
    }
  }

  @Test(arguments: [-1, 65_536, 99_999])
  func aServerDoesNotListenOnAnother(port: Int) async throws {
    let server = Server(router: Router())
    let error = try await #require(throws: BindError.self) {
      try await server.start(host: "127.0.0.1", port: port)
    }
    #expect(error.reason == "\(port) is not a port (0 to 65535)")
    #expect(!error.isInUse)
    await server.shutdown(grace: .zero)
  }

  /// TEST-NET-1 is nobody's (RFC 5737), and so is `.invalid` (RFC 6761): the resolver's words end with "not known", or
  /// are others where there is no network.
  @Test(arguments: [("192.0.2.1", "the address is none of this machine's"), ("nobody.invalid", "name")])
  func aServerDoesNotListenElsewhere(host: String, reason: String) async throws {
    let server = Server(router: Router())
    let error = try await #require(throws: BindError.self) { try await server.start(host: host, port: 0) }
    #expect(error.description.hasPrefix("cannot listen on \(host):0: "))
    #expect(error.reason.contains(reason) && !error.reason.contains("error"))
    #expect(!error.isInUse)
    await server.shutdown(grace: .zero)
  }

  @Test func aStatusIsDigitsOnly() async throws {
    for text in ["+5", "-0", " 5", ""] {
      let status = try await RawServer.outcome { session, stream in
        try session.respond(
          stream: stream,
          headers: [":status": "200", "content-type": "application/grpc", "grpc-status": text], output: nil)
      }
      #expect(status?.code == .unknown || status?.code == .internalError)
    }
  }
}
