import HTTP2
import NIOCore
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct CompressionTests {
  static let long = String(repeating: "compressible ", count: 1_000)

  /// Says of each request whether it came compressed; `compress` in a request asks for compressed responses.
  static var telling: Router {
    var router = Router()
    router.unary(Echo.say) { request, context in
      if request.hasPrefix("compress") { context.compressResponses(true) }
      return "\(context.requestWasCompressed) \(request)"
    }
    router.serverStreaming(Echo.expand) { request, responses, context in
      context.compressResponses(request == "compress")
      try await responses.write(long)
      try await responses.write("short")
      try await responses.write(long, isCompressed: false)
      try await responses.write("short", isCompressed: true)
    }
    router.clientStreaming(Echo.collect) { requests, _ in
      var seen: [String] = []
      var iterator = requests.makeAsyncIterator()
      while let request = try await iterator.next() { seen.append("\(request.count):\(iterator.isCompressed)") }
      return seen.joined(separator: " ")
    }
    router.bidirectional(Echo.chat) { requests, responses, context in
      context.compressResponses(true)
      for try await request in requests { try await responses.write(request, isCompressed: request.count % 2 == 0) }
    }
    return router
  }

  private var compressed: CallOptions {
    var options = CallOptions()
    options.compression = .gzip
    return options
  }

  @Test func unary() async throws {
    try await withPair(Self.telling) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, Self.long) == "false \(Self.long)")
      #expect(try await client.unary(Echo.say, Self.long, compressed) == "true \(Self.long)")
      #expect(try await client.unary(Echo.say, "short", compressed) == "false short")
      for request in ["compress" + Self.long, "compress", Self.long] {
        let response = try await client.unaryResponse(Echo.say, request)
        #expect(response.message == "false \(request)")
        #expect(response.wasCompressed == (request.count > 1_024 && request.hasPrefix("compress")))
      }
    }
  }

  @Test func responsesOfAStream() async throws {
    try await withPair(Self.telling) { (client, _) async throws in
      for (request, expected) in [("compress", [true, false, false, true]), ("plain", [false, false, false, false])] {
        var iterator = try await client.serverStreaming(Echo.expand, request).makeAsyncIterator()
        var seen: [Bool] = []
        var messages: [String] = []
        while let message = try await iterator.next() {
          messages.append(message)
          seen.append(iterator.isCompressed)
        }
        #expect(messages == [Self.long, "short", Self.long, "short"])
        #expect(seen == expected)
      }
    }
  }

  @Test func requestsOfAStream() async throws {
    try await withPair(Self.telling) { (client, _) async throws in
      for (options, expected) in [(compressed, "13000:true 1:false 2:true 13000:false"),
        (CallOptions(), "13000:false 1:false 2:false 13000:false")]
      {
        let seen = try await client.clientStreaming(Echo.collect, options) { requests in
          try await requests.write(Self.long)
          try await requests.write("a")
          try await requests.write("ab", isCompressed: true)
          try await requests.write(Self.long, isCompressed: false)
        }
        #expect(seen == expected)
      }
    }
  }

  @Test func bothWaysAtOnce() async throws {
    try await withPair(Self.telling) { (client, _) async throws in
      let isRight = try await client.bidirectional(Echo.chat, compressed) { requests, responses in
        var iterator = responses.makeAsyncIterator()
        for length in [0, 1, 2, 5_000, 5_001] {
          let message = String(repeating: "x", count: length)
          try await requests.write(message)
          guard try await iterator.next() == message, iterator.isCompressed == (length % 2 == 0) else { return false }
        }
        return true
      }
      #expect(isRight)
    }
  }

  @Test func whatBothSidesAreToldToDo() async throws {
    var server = ServerOptions()
    server.compression = .gzip
    server.compressionThreshold = 10
    var client = ClientOptions()
    client.compression = .gzip
    client.compressionThreshold = 20
    var plain = CallOptions()
    plain.compression = Compression.none
    let (thirty, fifteen) = (String(repeating: "x", count: 30), String(repeating: "x", count: 15))
    try await withPair(Self.telling, server: server, client: client) { (client, _) async throws in
      for (request, options, told, answered) in [
        (thirty, CallOptions(), true, true), (thirty, plain, false, true), (fifteen, CallOptions(), false, false),
        ("x", CallOptions(), false, false),
      ] {
        let response = try await client.unaryResponse(Echo.say, request, options)
        #expect(response.message == "\(told) \(request)")
        #expect(response.wasCompressed == answered || request == fifteen)
      }
    }
  }

  @Test func aClientThatTakesNone() async throws {
    var options = ClientOptions()
    options.acceptsCompressed = false
    try await withPair(Self.telling, client: options) { (client, _) async throws in
      let response = try await client.unaryResponse(Echo.say, "compress" + Self.long)
      #expect(!response.wasCompressed)
    }
  }

  @Test func aServerThatTakesNone() async throws {
    var options = ServerOptions()
    options.acceptsCompressed = false
    try await withPair(Self.telling, server: options) { (client, _) async throws in
      let status = await status { try await client.unary(Echo.say, Self.long, compressed) }
      #expect(status?.code == .unimplemented)
      #expect(try await client.unary(Echo.say, Self.long) == "false \(Self.long)")
    }
  }

  @Test func limitsHoldForWhatIsUnpacked() async throws {
    var options = ServerOptions()
    options.maximumRequestBytes = 5_000
    var clientOptions = ClientOptions()
    clientOptions.maximumResponseBytes = 4_000
    clientOptions.compression = .gzip
    try await withPair(Self.telling, server: options, client: clientOptions) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, Self.long) }?.code == .resourceExhausted)
      let collected = await status { try await client.clientStreaming(Echo.collect) { try await $0.write(Self.long) } }
      #expect(collected?.code == .resourceExhausted)
      let answer = "compress" + String(repeating: "x", count: 4_500)
      #expect(await status { try await client.unary(Echo.say, answer) }?.code == .resourceExhausted)
      let streamed = await status {
        for try await _ in try await client.serverStreaming(Echo.expand, "compress") {}
      }
      #expect(streamed?.code == .resourceExhausted)
      #expect(try await client.unary(Echo.say, "x") == "false x")
    }
  }

  @Test func encodedOnceCompressedOnce() async throws {
    let message = try EncodedMessage(Self.long, text)
    var router = Router()
    router.serverStreaming(Echo.expand) { request, responses, context in
      context.compressResponses(request == "compress")
      for _ in 0..<3 { try await responses.write(message) }
    }
    try await withPair(router) { (client, _) async throws in
      for request in ["compress", "plain", "compress"] {
        var iterator = try await client.serverStreaming(Echo.expand, request).makeAsyncIterator()
        for _ in 0..<3 {
          #expect(try await iterator.next() == Self.long)
          #expect(iterator.isCompressed == (request == "compress"))
        }
        #expect(try await iterator.next() == nil)
      }
    }
    let policy = CompressionPolicy(algorithm: .gzip, threshold: 0)
    let first = message.compressed.frame(of: message.frame, policy)
    let second = message.compressed.frame(of: message.frame, policy)
    #expect(first.readableBytes < message.frame.readableBytes)
    let addresses = [first, second].map { $0.withUnsafeReadableBytes { $0.baseAddress } }
    #expect(addresses[0] == addresses[1])
  }

  // MARK: - Odd peers

  private func withPeer(_ options: ServerOptions = .init(), _ body: (RawPeer) async throws -> Void) async throws {
    let server = Server(router: Self.telling, options: options)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    try await body(peer)
    await peer.close()
    await server.shutdown(grace: .zero)
  }

  @Test func encodingsThatAreNotKnown() async throws {
    try await withPeer { (peer) async throws in
      for name in ["deflate", "snappy", "GZIP", "", "gzip,gzip"] {
        let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-encoding": name])
        let trailers = try await peer.trailers(stream)
        #expect(trailers["grpc-status"] == "12")
        #expect(trailers["grpc-accept-encoding"] == "identity,gzip")
      }
    }
    var options = ServerOptions()
    options.acceptsCompressed = false
    try await withPeer(options) { (peer) async throws in
      let stream = try peer.request(path: Echo.say.path, body: peer.frame("a"), extra: ["grpc-encoding": "gzip"])
      let trailers = try await peer.trailers(stream)
      #expect(trailers["grpc-status"] == "12")
      #expect(trailers["grpc-accept-encoding"] == "identity")
    }
  }

  @Test func messagesThatLie() async throws {
    let bomb = Gzip.compress(
      frame: Framing.frame(ByteBuffer(repeating: 0, count: 16 << 20)), isForced: true) ?? ByteBuffer()
    try await withPeer { (peer) async throws in
      for (body, encoding, code) in [
        (peer.frame("not gzip", flag: 1), "gzip", "13"), (peer.frame("", flag: 1), "gzip", "13"),
        (peer.frame("a", flag: 2), "gzip", "13"), (peer.frame("a", flag: 0), "gzip", "0"),
        (peer.frame("a", flag: 1), "identity", "13"), (Array(bomb.readableBytesView), "gzip", "8"),
        ([1, 0xFF, 0xFF, 0xFF, 0xFF], "gzip", "8"),
      ] {
        for path in [Echo.say.path, Echo.collect.path] {
          let stream = try peer.request(path: path, body: body, extra: ["grpc-encoding": encoding])
          #expect(try await peer.trailers(stream)["grpc-status"] == code, "\(path) \(encoding) \(body.prefix(20))")
        }
      }
    }
  }

  @Test func whatTheCallerTakesIsWhatItGets() async throws {
    try await withPeer { (peer) async throws in
      for (accepts, expected) in [
        ("identity", nil), ("identity, deflate, gzip", "gzip"), ("gzip", "gzip"), ("gzipped,br", nil), (nil, nil),
        (",, gzip ,br", "gzip"), ("gzi,p", nil), ("xgzip,gzi", nil), ("br,xgzip,gzip", "gzip"), ("gzipgzip", nil),
      ] as [(String?, String?)] {
        var extra: Metadata = [:]
        if let accepts { extra.add(accepts, for: "grpc-accept-encoding") }
        let body = peer.frame("compress" + Self.long)
        let stream = try peer.request(path: Echo.say.path, body: body, extra: extra)
        let head = try await peer.head(stream)
        #expect(head["grpc-encoding"] == expected)
        #expect(head["grpc-accept-encoding"] == expected.map { _ in "identity,gzip" })
        #expect(try await peer.trailers(stream)["grpc-status"] == "0")
      }
    }
  }

  @Test func serversThatAnswerOddly() async throws {
    let message: [UInt8] = [1, 0, 0, 0, 3, 1, 2, 3]
    var refusing = ClientOptions()
    refusing.acceptsCompressed = false
    for (encoding, options, text) in [
      ("gzip", ClientOptions(), "not valid gzip"), ("deflate", ClientOptions(), "not offered"),
      ("gzip", refusing, "not offered"), ("identity", ClientOptions(), "without an encoding"),
    ] {
      let status = try await RawServer.outcome(options) { session, stream in
        let output = StreamOutput()
        output.append(ByteBuffer(bytes: message))
        output.end(trailers: ["grpc-status": "0"])
        var head: HeaderBlock = [":status": "200", "content-type": "application/grpc"]
        head.append("grpc-encoding", encoding)
        try session.respond(stream: stream, headers: head, output: output)
      }
      #expect(status?.code == .internalError)
      #expect(status?.message.contains(text) == true, "\(encoding): \(status?.message ?? "OK")")
    }
  }
}

extension Framing {
  static func frame(_ message: ByteBuffer) -> ByteBuffer {
    var frame = ByteBuffer(bytes: [0])
    frame.writeInteger(UInt32(message.readableBytes))
    frame.writeImmutableBuffer(message)
    return frame
  }
}
