import HTTP2
import TestSupport
import Testing

@testable import RPC

/// Messages of statuses and metadata that are longer than HTTP/2 headers can be: the call ends, and says why.
@Suite(.timeLimit(.minutes(1)))
struct LongHeadersTests {
  private static let long = String(repeating: "x", count: 70_000)

  /// `Say` ends with a status whose message is the request, `Expand` after a response.
  private static var failing: Router {
    var router = Router()
    router.unary(Echo.say) { request, _ in throw Status(.notFound, request) }
    router.serverStreaming(Echo.expand) { request, responses, _ in
      try await responses.write("first")
      throw Status(.notFound, request)
    }
    return router
  }

  @Test(arguments: ["x", "ä", "%", "🙂"])
  func aLongMessageIsCut(character: String) async throws {
    let message = "begin " + String(repeating: character, count: 70_000)
    try await withPair(Self.failing) { (client, _) async throws in
      let options = CallOptions.timeout(.seconds(20))
      let ends = [
        await status { try await client.unary(Echo.say, message, options) },
        await status { for try await _ in try await client.serverStreaming(Echo.expand, message, options) {} },
      ]
      for end in ends {
        #expect(end?.code == .notFound)
        let received = end?.message ?? ""
        #expect(message.hasPrefix(received))
        #expect(received.count > 600)
        #expect(StatusMessage.encode(received).utf8.count <= StatusMessage.maximumBytes)
      }
    }
  }

  @Test func aMessageIsCutBetweenCharacters() {
    for length in 0..<12 {
      let text = String(repeating: "a", count: StatusMessage.maximumBytes - length) + "🙂b"
      let sent = StatusMessage.decode(StatusMessage.encode(text))
      #expect(text.hasPrefix(sent))
      #expect(sent.hasSuffix("🙂") == (length == 12))
    }
    let whole = String(repeating: "a", count: StatusMessage.maximumBytes)
    #expect(StatusMessage.encode(whole) == whole)
    #expect(StatusMessage.encode(whole + "b") == whole)
  }

  @Test(arguments: [1, 10, 500])
  func longMetadata(entries: Int) async throws {
    var metadata = Metadata()
    for number in 0..<entries { metadata.add(String(repeating: "v", count: 66_000 / entries), for: "x-\(number)") }
    var router = Router()
    router.unary(Echo.say) { [metadata] request, context in
      if request == "initial" { context.sendInitialMetadata(metadata) } else { context.setTrailingMetadata(metadata) }
      return request
    }
    router.serverStreaming(Echo.expand) { [metadata] request, responses, context in
      try await responses.write("first")
      context.setTrailingMetadata(metadata)
    }
    try await withPair(router) { (client, _) async throws in
      let options = CallOptions.timeout(.seconds(20))
      let initial = await status { try await client.unary(Echo.say, "initial", options) }
      #expect(initial == Status(.resourceExhausted, "initial metadata cannot be sent: it is over 64 KiB"))
      let ends = [
        await status { try await client.unary(Echo.say, "trailing", options) },
        await status { for try await _ in try await client.serverStreaming(Echo.expand, "", options) {} },
      ]
      for end in ends {
        #expect(end == Status(.resourceExhausted, "trailing metadata cannot be sent: it is over 64 KiB"))
      }
    }
  }

  /// What is just short enough goes out.
  @Test func theBoundIsNGHTTP2s() async throws {
    let name = "x-long"
    for isInitial in [true, false] {
      var block: HeaderBlock = isInitial ? .compressedHead : ["grpc-status": "0"]
      block.append(name, "")
      let room = HeaderBlock.maximumBytes - block.boundOnWire
      var router = Router()
      router.unary(Echo.say) { request, context in
        let metadata: Metadata = [name: String(repeating: "~", count: Int(request) ?? 0)]
        if isInitial { context.sendInitialMetadata(metadata) } else { context.setTrailingMetadata(metadata) }
        return ""
      }
      router.serverStreaming(Echo.expand) { request, responses, context in
        try await responses.write("")
        context.setTrailingMetadata([name: String(repeating: "~", count: Int(request) ?? 0)])
      }
      var options = ClientOptions()
      options.maximumMetadataBytes = 100_000
      let patience = CallOptions.timeout(.seconds(20))
      try await withPair(router, client: options) { (client, _) async throws in
        for (length, code) in [(room, nil), (room + 1, Status.Code.resourceExhausted)] {
          let end = await status {
            if isInitial { return try await client.unary(Echo.say, "\(length)", patience) }
            for try await _ in try await client.serverStreaming(Echo.expand, "\(length)", patience) {}
            return ""
          }
          #expect(end?.code == code)
        }
      }
    }
  }

  @Test func theBoundOfARequestIsNGHTTP2s() async throws {
    var options = ServerOptions()
    options.maximumMetadataBytes = 100_000
    try await withPair(server: options) { (client, address) async throws in
      var block: HeaderBlock = [":method": "POST", ":scheme": "http", ":path": Echo.say.path, "x-long": ""]
      block.append(":authority", "\(address.host):\(address.port)")
      block.append(contentsOf: ClientOptions().requestEnd)
      let room = HeaderBlock.maximumBytes - block.boundOnWire
      let refused = Status(.resourceExhausted, "the request's metadata is over 64 KiB")
      for (length, end) in [(room, nil), (room + 1, refused)] {
        let metadata: Metadata = ["x-long": String(repeating: "~", count: length)]
        #expect(await status { try await client.unary(Echo.say, "a", CallOptions(metadata: metadata)) } == end)
      }
    }
  }

  /// A block keeps a name's length in 16 bits.
  @Test(arguments: [65_535, 65_536, 65_540, 70_000])
  func longNames(length: Int) async throws {
    let metadata: Metadata = [String(repeating: "n", count: length): "v"]
    #expect((metadata.problem == nil) == (length <= 65_535))
    try await withPair(MetadataTests.mirror) { (client, _) async throws in
      let end = await status { try await client.unary(Echo.say, "", CallOptions(metadata: metadata)) }
      #expect(end?.code == (length <= 65_535 ? .resourceExhausted : .internalError))
      #expect((end?.message.utf8.count ?? .max) < 200)
    }
  }
}
