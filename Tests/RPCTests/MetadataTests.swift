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
    metadata = ["padded-bin": "AAE=", "bare-bin": "AAE", "bad-bin": "A*", "joined-bin": "AAE,Ag=="]
    #expect(metadata.binary("padded-bin") == [0, 1])
    #expect(metadata.binary("bare-bin") == [0, 1])
    #expect(metadata.binary("bad-bin") == nil)
    #expect(metadata.allBinary("joined-bin") == [[0, 1], [2]])
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

  @Test func aroundAStream() async throws {
    try await withPair(Self.mirror) { (client, _) async throws in
      let responses = try await client.serverStreaming(Echo.expand, "")
      #expect(try await responses.initialMetadata["x-before"] == "1")
      for try await message in responses { #expect(message == "message") }
      #expect(await responses.trailingMetadata["x-after"] == "2")
    }
  }

  @Test(arguments: [["a b": "1"], ["grpc-timeout": "1S"], ["x": "grün"], ["": "1"], [":path": "/"]] as [Metadata])
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
