import HTTP2
import NIOCore
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct MetadataTests {
  @Test func anOrderedMultimap() {
    var metadata: Metadata = ["b": "1", "A": "2"]
    metadata.add("3", for: "B")
    #expect(metadata["b"] == "1")
    #expect(metadata.all("B") == ["1", "3"])
    #expect(metadata["c"] == nil)
    #expect(metadata.map { "\($0.name)=\($0.value)" } == ["b=1", "a=2", "b=3"])
    metadata.removeAll("b")
    #expect(metadata == ["a": "2"])
  }

  @Test func bytes() {
    var metadata: Metadata = [:]
    metadata.addBinary([0, 1, 255], for: "key-bin")
    metadata.addBinary([], for: "key")
    #expect(metadata.allBinary("key-bin") == [[0, 1, 255], []])
    metadata = ["padded-bin": "AAE=", "bare-bin": "AAE", "bad-bin": "A*", "joined-bin": "AAE,Ag==, ,AAE="]
    #expect(metadata.binary("padded-bin") == [0, 1])
    #expect(metadata.binary("bare-bin") == [0, 1])
    #expect(metadata.binary("bad-bin") == nil)
    #expect(metadata.allBinary("joined-bin") == [[0, 1], [2], [], [0, 1]])
  }

  @Test func base64() {
    var random = SeededRandom()
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      let text = Base64.encode(bytes)
      #expect(!text.contains("="))
      #expect(Base64.decode(text.utf8) == bytes)
      let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
      #expect(Base64.decode((text + padding).utf8) == bytes)
    }
    for bad in ["A", "AAAAA", "AA=A", "AA===", "A=", "ä", "A A"] { #expect(Base64.decode(bad.utf8) == nil) }
  }

  /// What is let in is what can be read: lists are judged without being taken apart.
  @Test func listsOfBase64() {
    var random = SeededRandom()
    for _ in 0..<20_000 {
      let length = Int.random(in: 0...12, using: &random)
      let text = String((0..<length).map { _ in "AAAb=, *".randomElement(using: &random) ?? "A" })
      let pieces = text.split(separator: ",", omittingEmptySubsequences: false)
      let metadata: Metadata = ["a-bin": text]
      #expect(Metadata.isBinary(text.utf8) == (metadata.allBinary("a-bin").count == pieces.count), "'\(text)'")
    }
  }

  /// A server that answers with the metadata it was sent, in front of and behind its message.
  static var mirror: Router {
    var router = Router()
    router.unary(Echo.say) { request, context in
      var seen = Metadata()
      for (name, value) in context.metadata where name.hasPrefix("x-") { seen.add(value, for: name) }
      if request == "early" { context.sendInitialMetadata(seen) }
      context.setTrailingMetadata(seen)
      return context.metadata["user-agent"] ?? "nobody"
    }
    router.unary(Echo.missing) { _, context in
      context.setTrailingMetadata(["not valid": "a"])
      return "a"
    }
    router.serverStreaming(Echo.expand) { _, responses, context in
      context.sendInitialMetadata(["x-before": "1"])
      try await responses.write("message")
      context.setTrailingMetadata(["x-after": "2"])
    }
    return router
  }

  @Test func travelsBothWays() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      var metadata: Metadata = ["x-text": "a b ~", "x-twice": "1", "X-Twice": "2", "x-empty": ""]
      metadata.addBinary(Array(0...255), for: "x-bytes-bin")
      for request in ["early", "late"] {
        let response = try await client.unaryResponse(Echo.say, request, CallOptions(metadata: metadata))
        #expect(response.message == "buddy-rpc/1.0")
        #expect(response.trailingMetadata == metadata)
        #expect(response.trailingMetadata.binary("x-bytes-bin") == Array(0...255))
        #expect(response.initialMetadata == (request == "early" ? metadata : [:]))
      }
    }
  }

  @Test func whatIsPutRightAndWhatIsAllowed() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      var metadata: Metadata = [
        "x-spaces": "  a b ", "x-only-spaces": "  ", "x-a.b_c-0": "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
      ]
      metadata.add("AAE=, Ag", for: "x-joined-bin")
      metadata.add("grpc-trace-bin", for: "x-own")
      metadata.addBinary([1], for: "grpc-trace-bin")
      let response = try await client.unaryResponse(Echo.say, "early", CallOptions(metadata: metadata))
      let seen = response.initialMetadata
      #expect(seen["x-spaces"] == "a b")
      #expect(seen["x-only-spaces"] == "")
      #expect(seen["x-a.b_c-0"] == metadata["x-a.b_c-0"])
      #expect(seen.allBinary("x-joined-bin") == [[0, 1], [2]])
    }
  }

  /// What a handler can know of who calls.
  @Test func whoCalls() async throws {
    var router = Router()
    router.unary(Echo.say) { _, context in
      "\(context.service)|\(context.method)|\(context.path)|\(context.userAgent ?? "nobody")|\(context.peer)"
    }
    let own = "buddy-rpc/1.0"
    for (given, name) in [("", own), ("orders/2.1", "orders/2.1 \(own)"), ("ä\n", own)] {
      var options = ClientOptions()
      options.userAgent = given
      try await withPair(router, client: options) { (client, _) async throws in
        let parts = try await client.unary(Echo.say, "").split(separator: "|")
        #expect(parts.dropLast() == ["test.Echo", "Say", "/test.Echo/Say", Substring(name)])
        #expect(parts.last?.hasPrefix("127.0.0.1:") == true)
      }
    }
  }

  @Test func aroundAStream() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      let responses = try await client.serverStreaming(Echo.expand, "")
      #expect(try await responses.initialMetadata["x-before"] == "1")
      for try await message in responses { #expect(message == "message") }
      #expect(await responses.trailingMetadata["x-after"] == "2")
    }
  }

  @Test(arguments: [
    ["a b": "1"], ["grpc-timeout": "1S"], ["x": "grün"], ["": "1"], [":path": "/"], ["x": "a\u{7F}"],
    ["x": "a\tb"], ["x": "a\nb"], ["x-a-bin": "no base64!"], ["x-a-bin": "A"], ["grpc-custom": "1"], ["te": "trailers"],
    ["grpc-encoding": "gzip"], ["connection": "close"], ["x/y": "1"],
  ] as [Metadata])
  func whatMayNotBeSentFailsTheCall(metadata: Metadata) async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      let status = await status { try await client.unary(Echo.say, "a", CallOptions(metadata: metadata)) }
      #expect(status?.code == .internalError)
      #expect(try await client.unary(Echo.say, "a") != "")
    }
  }

  @Test func aHandlersBadMetadataFailsItsCall() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.missing, "a") }?.code == .internalError)
    }
  }

  @Test func tooMuchIsRefusedAndTheConnectionLives() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      for (count, size) in [(20, 1_000), (150, 1), (1, 17_000), (1, 100_000)] {
        var metadata: Metadata = [:]
        for number in 0..<count { metadata.add(String(repeating: "v", count: size), for: "x-\(number)") }
        let status = await status { try await client.unary(Echo.say, "a", CallOptions(metadata: metadata)) }
        #expect(status?.code == .resourceExhausted)
      }
      #expect(try await client.unary(Echo.say, "a") != "")
    }
  }

  /// A response without messages is one block of headers that ends the stream.
  @Test func trailersOnly() async throws {
    var router = Self.mirror
    router.unary(Echo.blob) { _, _ in throw Status(.notFound, "nothing", metadata: ["x-a": "1"]) }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    for path in [Echo.blob.path, "/no.Service/Method"] {
      let stream = try peer.request(path: path, body: peer.frame("a"))
      let trailers = try await peer.trailers(stream)
      #expect(trailers[":status"] == "200")
      #expect(trailers["content-type"] == "application/grpc")
      #expect(trailers["grpc-status"] == (path == Echo.blob.path ? "5" : "12"))
      #expect(try await peer.head(stream) == trailers)
    }
    await peer.close()
    await server.shutdown(grace: .zero)
    // At the client: a status and its metadata, in the first block.
    let status = try await RawServer.outcome { session, stream in
      let head: HeaderBlock = [
        ":status": "200", "content-type": "application/grpc", "grpc-status": "9", "grpc-message": "a%20b", "x-a": "2",
      ]
      try session.respond(stream: stream, headers: head, output: nil)
    }
    #expect(status == Status(.failedPrecondition, "a b", metadata: ["x-a": "2"]))
  }

  @Test func tooMuchInAResponse() async throws {
    var router = Router()
    router.unary(Echo.say) { request, context in
      context.setTrailingMetadata(["x-long": String(repeating: "v", count: 20_000)])
      return request
    }
    try await withPair(router) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .resourceExhausted)
    }
  }
}
