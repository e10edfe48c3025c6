import NIOCore
import RPC
import Testing

/// The README's server and client, line for line as they stand there.
@Suite(.timeLimit(.minutes(2)))
struct ReadmeTests {
  @Test func example() async throws {
    let text = Codec<String>(decode: { String(buffer: $0) }, encode: { $1.writeString($0) })
    let greet = Method("/example.Greeter/Greet", request: text, response: text)
    let count = Method("/example.Greeter/Count", request: text, response: text)
    let join = Method("/example.Greeter/Join", request: text, response: text)
    let chat = Method("/example.Greeter/Chat", request: text, response: text)

    var router = Router()
    router.unary(greet) { name, context in
      guard !name.isEmpty else { throw Status(.invalidArgument, "a name is needed") }
      return "Hello, \(name), from \(context.peer)"
    }
    router.serverStreaming(count) { limit, responses, _ in
      for number in 0..<(Int(limit) ?? 0) { try await responses.write("\(number)") }
    }
    router.clientStreaming(join) { words, _ in try await words.reduce("") { $0 + $1 } }
    router.bidirectional(chat) { requests, responses, _ in
      for try await request in requests { try await responses.write("re: \(request)") }
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)

    let client = Client(host: address.host, port: address.port)

    let greeting = try await client.unary(greet, "Ada", .timeout(.seconds(30)))

    var numbers: [String] = []
    for try await number in try await client.serverStreaming(count, "3") { numbers.append(number) }

    let sentence = try await client.clientStreaming(join) { requests in
      for word in ["one", "two"] { try await requests.write(word) }
    }

    let answer = try await client.bidirectional(chat) { requests, responses in
      try await requests.write("ping")
      for try await response in responses { return response }  // leaving the closure ends the call
      return "nothing"
    }

    #expect(greeting.hasPrefix("Hello, Ada, from 127.0.0.1:"))
    #expect(await status { try await client.unary(greet, "") } == Status(.invalidArgument, "a name is needed"))
    #expect(numbers == ["0", "1", "2"])
    #expect(sentence == "onetwo")
    #expect(answer == "re: ping")
    await client.close()
    await server.shutdown(grace: .seconds(30))
  }
}
