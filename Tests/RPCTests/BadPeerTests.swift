import HTTP2
import NIOCore
import RPC
import TestSupport
import Testing

/// Peers that break the rules, on a raw socket. Each gets its answer; a well-behaved client beside it notices nothing.
@Suite(.timeLimit(.minutes(2)))
struct BadPeerTests {
  private func withServer(_ options: ServerOptions = .init(), _ body: (RawPeer) async throws -> Void) async throws {
    let server = Server(router: Echo.router, options: options)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let good = Client(host: address.host, port: address.port)
    #expect(try await good.unary(Echo.say, "before") == "before")
    let peer = try await RawPeer.connect(to: address)
    try await body(peer)
    #expect(try await good.unary(Echo.say, "after") == "after")
    await peer.close()
    await good.close()
    await server.shutdown(grace: .zero)
  }

  @Test(arguments: ["garbage that is longer than a preface is", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\0\0\0"])
  func notHTTP2(text: String) async throws {
    try await withServer { (peer) async throws in
      peer.send(Array(text.utf8))
      _ = try await peer.goAwayAndClose()
    }
  }

  @Test func silenceIsNotWaitedForForEver() async throws {
    var options = ServerOptions()
    options.handshakeTimeout = .milliseconds(100)
    try await withServer(options) { (peer) async throws in
      #expect(try await peer.goAwayAndClose()?.code == ErrorCode.enhanceYourCalm.rawValue)
    }
    try await withServer(options) { (peer) async throws in
      peer.send(Array("PRI * HTTP/2.0\r\n".utf8))
      #expect(try await peer.goAwayAndClose() != nil)
    }
    // Headers that never end.
    try await withServer(options) { (peer) async throws in
      peer.send(try peer.sessionBytes() + RawPeer.frame(1, flags: 0, stream: 1, [0x83]))
      #expect(try await peer.goAwayAndClose() != nil)
    }
  }

  @Test(arguments: [nil, "text/plain", "application/json", "application/grpcx", "application/grp"])
  func notGRPC(contentType: String?) async throws {
    try await withServer { (peer) async throws in
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), contentType: contentType)
      let (head, body) = try await peer.response(stream)
      #expect(head[":status"] == "415")
      #expect(body.contains("application/grpc"))
    }
  }

  @Test(arguments: ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"])
  func everyFormOfItsContentTypeIsGRPC(contentType: String) async throws {
    try await withServer { (peer) async throws in
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), contentType: contentType)
      #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    }
  }

  @Test func aRequestThatIsNotAPost() async throws {
    try await withServer { (peer) async throws in
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), method: "PUT")
      let (head, _) = try await peer.response(stream)
      #expect(head[":status"] == "405")
      #expect(head["allow"] == "POST")
    }
  }

  @Test func framesThatLie() async throws {
    try await withServer { (peer) async throws in
      let cases: [([UInt8], String)] = [
        ([0, 0xFF, 0xFF, 0xFF, 0xFF], "8"),  // 4 GiB announced
        ([0, 0, 0x40, 0, 1], "8"),  // one byte over 4 MiB
        (peer.frame("abc", flag: 1), "13"),  // compressed, and no encoding was named
        (peer.frame("abc", flag: 2), "13"),
        ([0, 0, 0, 0, 9, 1, 2], "13"),  // ends inside the message
        ([0, 0], "13"),  // ends inside the prefix
        (peer.frame("a") + peer.frame("b"), "13"),
      ]
      for (body, code) in cases {
        let stream = try peer.request(path: Echo.say.path, body: body)
        #expect(try await peer.trailers(stream)["grpc-status"] == code)
      }
    }
  }

  @Test func aLyingPrefixIsAnsweredBeforeTheRestComes() async throws {
    try await withServer { (peer) async throws in
      let stream = try peer.request(path: Echo.say.path, body: [0, 0xFF, 0xFF, 0xFF, 0xFF], end: false)
      #expect(try await peer.trailers(stream)["grpc-status"] == "8")
    }
  }

  @Test func headersThatCannotBe() async throws {
    try await withServer { (peer) async throws in
      for (extra, code) in [
        (["grpc-encoding": "br"], "12"), (["grpc-encoding": "identity"], "0"), (["grpc-timeout": "soon"], "13"),
        (["x-a-bin": "*"], "13"), (["x-a-bin": "AAE="], "0"), (["x-a-bin": "AAE"], "0"),
      ] as [(Metadata, String)] {
        let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: extra)
        let trailers = try await peer.trailers(stream)
        #expect(trailers["grpc-status"] == code)
        if code == "12" { #expect(trailers["grpc-accept-encoding"] == "identity,gzip") }
      }
    }
  }

  @Test func pingFlood() async throws {
    try await withServer { (peer) async throws in
      let ping = RawPeer.frame(6, [UInt8](repeating: 0, count: 8))
      peer.send(try peer.sessionBytes() + (0..<10).flatMap { _ in ping })
      let goAway = try await peer.goAwayAndClose()
      #expect(goAway?.code == ErrorCode.enhanceYourCalm.rawValue)
      #expect(goAway?.reason == "too_many_pings")
    }
  }

  @Test func settingsFlood() async throws {
    try await withServer { (peer) async throws in
      peer.send(try peer.sessionBytes() + (0..<20).flatMap { _ in RawPeer.frame(4) })
      #expect(try await peer.goAwayAndClose()?.code == ErrorCode.enhanceYourCalm.rawValue)
    }
  }

  @Test func framesWithoutProgress() async throws {
    try await withServer { (peer) async throws in
      let priority = RawPeer.frame(2, stream: 1, [0, 0, 0, 0, 16])
      peer.send(try peer.sessionBytes() + (0..<11_000).flatMap { _ in priority })
      #expect(try await peer.goAwayAndClose()?.code == ErrorCode.enhanceYourCalm.rawValue)
    }
  }

  @Test func rapidReset() async throws {
    try await withServer { (peer) async throws in
      var sent = 0
      while peer.isOpen, sent < 2_000 {
        try peer.reset(try peer.request(path: Echo.say.path, body: [], end: false))
        sent += 1
        if sent % 100 == 0 { await Task.yield() }
      }
      let goAway = try await peer.goAwayAndClose()
      #expect(goAway?.code == ErrorCode.enhanceYourCalm.rawValue)
      #expect(goAway?.reason == "too_many_resets")
    }
  }

  /// Window updates that overflow make the server reset its own streams (CVE-2025-8671).
  @Test func provokedResets() async throws {
    var options = ServerOptions()
    options.maximumProvokedResets = 50
    try await withServer(options) { (peer) async throws in
      var bytes: [UInt8] = []
      for _ in 0..<90 {
        let stream = try peer.request(path: Echo.collect.path, body: [], end: false, flush: false)
        bytes += try peer.sessionBytes() + RawPeer.frame(8, stream: stream, [0x7F, 0xFF, 0xFF, 0xFF])
      }
      peer.send(bytes)
      #expect(try await peer.goAwayAndClose()?.code == ErrorCode.enhanceYourCalm.rawValue)
    }
  }

  /// Opens its windows wide and then reads nothing: what waits for it is let go.
  @Test func aPeerThatStopsReading() async throws {
    var options = ServerOptions()
    options.writeStallTimeout = .milliseconds(200)
    let (started, stopped) = (Gate(), Gate())
    let server = Server(router: CancellationTests.endless(started, stopped), options: options)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address, reads: false, window: 1 << 30)
    _ = try peer.request(path: Echo.expand.path, body: peer.frame(""))
    await started.wait()
    await stopped.wait()
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  /// Slow is not hostile: a request that arrives byte by byte is served.
  @Test func byteByByte() async throws {
    try await withServer { (peer) async throws in
      let bytes = try peer.sessionBytes()
      for byte in bytes { peer.send([byte]) }
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("slow"))
      #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    }
  }

  @Test func trailersOfARequestAreTaken() async throws {
    try await withServer { (peer) async throws in
      let stream = try peer.request(path: Echo.collect.path, body: peer.frame("a"), end: false)
      // HEADERS with END_STREAM and END_HEADERS: one literal field without indexing, "x: y".
      peer.send(RawPeer.frame(1, flags: 5, stream: stream, [0, 1, UInt8(ascii: "x"), 1, UInt8(ascii: "y")]))
      #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    }
  }
}
