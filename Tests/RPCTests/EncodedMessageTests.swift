import NIOConcurrencyHelpers
import NIOCore
import RPC
import Testing

/// Messages that are encoded once for many calls.
@Suite(.timeLimit(.minutes(1))) struct EncodedMessageTests {
  private let method = Method("/test.Echo/Same", request: text, response: text)

  private func router(_ message: EncodedMessage<String>, count: Int = 3) -> Router {
    var router = Router()
    router.serverStreaming(method) { _, responses, _ in
      for _ in 0..<count { try await responses.write(message) }
    }
    return router
  }

  private func responses(_ client: Client) async throws -> [String] {
    var all: [String] = []
    for try await response in try await client.serverStreaming(method, "go") { all.append(response) }
    return all
  }

  @Test func everyCallGetsIt() async throws {
    let encodings = NIOLockedValueBox(0)
    let counting = Codec<String>(decode: { try text.decode($0) }) { message, buffer in
      encodings.withLockedValue { $0 += 1 }
      try text.encode(message, &buffer)
    }
    let message = try EncodedMessage("hello", counting)
    try await withPair(router(message)) { client, _ in
      for _ in 0..<4 {
        let seen = try await responses(client)
        #expect(seen == ["hello", "hello", "hello"])
      }
    }
    #expect(encodings.withLockedValue { $0 } == 1)
  }

  @Test(arguments: [0, 1, 100_000]) func bytesAreTakenAsTheyAre(_ length: Int) async throws {
    let message = EncodedMessage<String>(wire: Array(repeating: UInt8(ascii: "x"), count: length))
    try await withPair(router(message)) { client, _ in
      let seen = try await responses(client)
      #expect(seen == Array(repeating: String(repeating: "x", count: length), count: 3))
    }
  }

  @Test func theServersLimitHolds() async throws {
    var options = ServerOptions()
    options.maximumResponseBytes = 10
    let message = EncodedMessage<String>(wire: Array(repeating: UInt8(ascii: "x"), count: 11))
    try await withPair(router(message), server: options) { client, _ in
      let error = await #expect(throws: Status.self) { try await responses(client) }
      #expect(error?.code == .resourceExhausted)
    }
  }

  @Test func whatCannotBeEncodedIsSaidAtOnce() {
    let error = #expect(throws: Status.self) { try EncodedMessage("unencodable", text) }
    #expect(error?.code == .internalError)
  }
}
