import NIOConcurrencyHelpers
import RPC
import Testing

/// What a server logs of its connections.
@Suite(.timeLimit(.minutes(1)))
struct LogTests {
  @Test(arguments: [0, 100])
  func linesPerSecond(limit: Int) async throws {
    var options = ServerOptions()
    options.logLinesPerSecond = limit
    let lines = NIOLockedValueBox<[String]>([])
    let log = { @Sendable (line: String) in lines.withLockedValue { $0.append(line) } }
    let server = Server(router: Echo.router, options: options, log: log)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    for _ in 0..<3 {
      let peer = try await RawPeer.connect(to: address)
      peer.send(Array("GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".utf8))
      _ = try await peer.goAwayAndClose()
    }
    let closings = lines.withLockedValue { $0 }.filter { $0.hasPrefix("closing the connection from 127.0.0.1") }
    #expect(closings.count == min(limit, 3))
    await server.shutdown(grace: .zero)
  }
}
