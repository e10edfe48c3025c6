import HTTP2
import RPC
import Testing

/// Headers behind a request's first ones, from peers that are not gRPC's.
@Suite(.timeLimit(.minutes(2)))
struct TrailersTests {
  /// The request is answered when its headers come; its trailers are no second request.
  @Test(arguments: [(nil, "415"), ("application/grpc", "200")])
  func trailersOfARequestThatWasRefused(contentType: String?, status: String) async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    for _ in 0..<3 {
      let stream = try peer.request(
        path: "/nobody/serves", body: [], contentType: contentType, end: false, flush: false)
      let trailers = RawPeer.frame(1, flags: 0x5, stream: stream, [0x00, 0x01, 0x61, 0x01, 0x62])
      peer.send(try peer.sessionBytes() + trailers)
      let head =
        contentType == nil ? try await peer.response(stream).head : try await peer.trailers(stream)
      #expect(head[":status"] == status)
    }
    let good = Client(host: address.host, port: address.port)
    #expect(try await good.unary(Echo.say, "after") == "after")
    await peer.close()
    await good.close()
    await server.shutdown(grace: .zero)
  }

  @Test func theAnswerToHEADHasNoBody() async throws {
    let server = Server(router: Echo.router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    // The headers end the stream.
    let head = try await peer.trailers(peer.request(path: "/", body: [], method: "HEAD"))
    #expect(head[":status"] == "405")
    await peer.close()
    await server.shutdown(grace: .zero)
  }
}
