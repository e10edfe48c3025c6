import NIOCore
import RPC
import Testing

@Suite(.timeLimit(.minutes(2)))
struct CallTests {
  @Test func unary() async throws {
    try await withPair { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "hello") == "hello")
      #expect(try await client.unary(Echo.say, "") == "")
      #expect(try await client.unary(Echo.say, "grüß dich") == "grüß dich")
    }
  }

  @Test func serverStreaming() async throws {
    try await withPair { (client, _) async throws in
      var received: [String] = []
      for try await message in try await client.serverStreaming(Echo.expand, "1000 times") { received.append(message) }
      #expect(received == (0..<1000).map { "\($0)" })
    }
  }

  @Test func serverStreamingOfNothing() async throws {
    try await withPair { (client, _) async throws in
      for try await _ in try await client.serverStreaming(Echo.expand, "0 times") { Issue.record("a message") }
    }
  }

  @Test func clientStreaming() async throws {
    try await withPair { (client, _) async throws in
      let all = try await client.clientStreaming(Echo.collect) { requests in
        for number in 0..<500 { try await requests.write("\(number),") }
      }
      #expect(all == (0..<500).map { "\($0)," }.joined())
      #expect(try await client.clientStreaming(Echo.collect) { _ in } == "")
    }
  }

  @Test func bidirectional() async throws {
    try await withPair { (client, _) async throws in
      let answers = try await client.bidirectional(Echo.chat) { requests, responses in
        var answers: [String] = []
        var iterator = responses.makeAsyncIterator()
        for word in ["one", "two", "three"] {
          try await requests.write(word)
          answers.append(try await iterator.next() ?? "nothing")
        }
        requests.finish()
        #expect(try await iterator.next() == nil)
        return answers
      }
      #expect(answers == ["re: one", "re: two", "re: three"])
    }
  }

  /// What is left after the socket took a first large write at once goes out too, though nothing else wakes the server.
  @Test func largeResponsesToAPeerWithLargeWindows() async throws {
    var options = ClientOptions()
    options.streamWindow = 16 * 1024 * 1024
    options.connectionWindow = 64 * 1024 * 1024
    try await withPair(client: options) { (client, _) async throws in
      let blob = ByteBuffer(repeating: 7, count: 3 * 1024 * 1024)
      for _ in 0..<20 { #expect(try await client.unary(Echo.blob, blob) == blob) }
    }
  }

  @Test(arguments: [0, 1, 5, 16_384, 65_535, 65_536, 1_000_000, 4 * 1024 * 1024])
  func messagesOfManySizes(bytes: Int) async throws {
    try await withPair { (client, _) async throws in
      let message = ByteBuffer(repeating: UInt8(bytes & 0xFF), count: bytes)
      #expect(try await client.unary(Echo.blob, message) == message)
    }
  }

  @Test func thousandCallsAtOnce() async throws {
    try await withPair { (client, _) async throws in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<1000 {
          group.addTask { try await client.unary(Echo.say, "call \(number)") == "call \(number)" }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }
}
