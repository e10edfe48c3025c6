import NIOConcurrencyHelpers
import NIOCore
import RPC

/// Lines of a log.
final class Lines: Sendable {
  private let lines = NIOLockedValueBox<[String]>([])
  var all: [String] { lines.withLockedValue { $0 } }
  var text: String { all.joined(separator: "\n") }
  @Sendable func add(_ line: String) { lines.withLockedValue { $0.append(line) } }
}

enum Who {
  static let am = Method("/test.Who/AmI", request: text, response: text)

  /// Answers with what the server knows of its caller.
  static var router: Router {
    var router = Echo.router
    router.unary(am) { _, context in
      guard let peer = context.peerIdentity else { return "nobody" }
      let names = [peer.spiffeID ?? "-", peer.commonName ?? "-", peer.dnsNames.joined(separator: ",")]
      return (names + [peer.serialNumber]).joined(separator: " ")
    }
    return router
  }
}

/// Runs a server with TLS for the length of `body`.
func withTLSServer<Result>(
  _ tls: ServerTLS, interceptors: [any ServerInterceptor] = [], handshakeTimeout: Duration = .seconds(30),
  log: Lines = Lines(), _ body: (BoundAddress) async throws -> Result
) async throws -> Result {
  var options = ServerOptions()
  options.tls = tls
  options.handshakeTimeout = handshakeTimeout
  let server = Server(router: Who.router, options: options, interceptors: interceptors, log: log.add)
  let address = try await server.start(host: "127.0.0.1", port: 0)
  do {
    let result = try await body(address)
    await server.shutdown(grace: .zero)
    return result
  } catch {
    await server.shutdown(grace: .zero)
    throw error
  }
}

/// Runs a client for the length of `body`.
func withClient<Result>(
  _ address: BoundAddress, host: String? = nil, _ tls: ClientTLS?, _ body: (Client) async throws -> Result
) async throws -> Result {
  var options = ClientOptions()
  options.tls = tls
  options.minimumBackoff = .milliseconds(1)
  options.maximumBackoff = .milliseconds(1)
  let client = Client(host: host ?? address.host, port: address.port, options: options)
  do {
    let result = try await body(client)
    await client.close()
    return result
  } catch {
    await client.close()
    throw error
  }
}

/// What the server knows of a client with this certificate, asked over a connection of its own.
func ask(_ address: BoundAddress, host: String? = nil, _ tls: ClientTLS?) async throws -> String {
  try await withClient(address, host: host, tls) { try await $0.unary(Who.am, "", .timeout(.seconds(60))) }
}

/// What `make` throws, as text; "none" if nothing.
func errorText(_ make: () throws -> some Any) -> String {
  do {
    _ = try make()
    return "none"
  } catch {
    return "\(error)"
  }
}
