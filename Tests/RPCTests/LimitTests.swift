import NIOCore
import RPC
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct LimitTests {
  @Test func messagesThatAreTooLong() async throws {
    var options = ServerOptions()
    options.maximumRequestBytes = 1_000
    options.maximumResponseBytes = 2_000
    var router = Echo.router
    router.unary(Echo.missing) { request, _ in String(repeating: request, count: 1_500) }
    try await withPair(router, server: options) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, String(repeating: "a", count: 1_000)).count == 1_000)
      let long = await status { try await client.unary(Echo.say, String(repeating: "a", count: 1_001)) }
      #expect(long?.code == .resourceExhausted)
      #expect(try await client.unary(Echo.missing, "a").count == 1_500)
      #expect(await status { try await client.unary(Echo.missing, "ab") }?.code == .resourceExhausted)
    }
    var clientOptions = ClientOptions()
    clientOptions.maximumRequestBytes = 100
    clientOptions.maximumResponseBytes = 50
    try await withPair(client: clientOptions) { (client, _) async throws in
      for count in [101, 51] {
        let status = await status { try await client.unary(Echo.say, String(repeating: "a", count: count)) }
        #expect(status?.code == .resourceExhausted)
      }
      #expect(try await client.unary(Echo.say, String(repeating: "a", count: 50)).count == 50)
    }
  }

  /// Far more calls than the server lets one connection open: the rest wait their turn.
  @Test func callsQueueForStreams() async throws {
    var options = ServerOptions()
    options.maximumStreams = 3
    let crowd = Crowd()
    try await withPair(crowd.router, server: options) { (client, _) async throws in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<200 { group.addTask { _ = try await client.unary(Echo.say, "\(number)") } }
        try await group.waitForAll()
      }
    }
    #expect(crowd.most <= 3)
  }

  /// Cancelled handlers that do not stop still count, so a peer cannot pile them up.
  @Test func handlersThatStillRun() async throws {
    var options = ServerOptions()
    options.maximumHandlers = 5
    let release = Gate()
    let started = Counter()
    var router = Router()
    router.unary(Echo.say) { request, _ in
      started.add(1)
      await release.wait()
      return request
    }
    try await withPair(router, server: options) { (client, _) async throws in
      for number in 1...5 {
        let task = Task { await status { try await client.unary(Echo.say, "a") } }
        try await eventually("handler \(number) runs") { started.value == number }
        task.cancel()
        #expect(await task.value?.code == .cancelled)
      }
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .resourceExhausted)
      await release.open()
      try await eventually("a handler is free") { await status { try await client.unary(Echo.say, "a") } == nil }
    }
  }

  @Test func connectionsOverTheLimitAreClosed() async throws {
    var options = ServerOptions()
    options.maximumConnections = 2
    let server = Server(router: Echo.router, options: options)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let clients = (0..<3).map { _ in Client(host: address.host, port: address.port) }
    #expect(try await clients[0].unary(Echo.say, "a") == "a")
    #expect(try await clients[1].unary(Echo.say, "a") == "a")
    #expect(await status { try await clients[2].unary(Echo.say, "a") }?.code == .unavailable)
    await clients[0].close()
    try await eventually("there is room again") { await status { try await clients[2].unary(Echo.say, "a") } == nil }
    for client in clients { await client.close() }
    await server.shutdown(grace: .zero)
  }

  // MARK: - Backpressure

  /// Nobody reads: the handler can write a bounded number of bytes, then waits.
  @Test func aSlowReaderHoldsTheHandlerBack() async throws {
    let written = Counter()
    let message = ByteBuffer(repeating: 1, count: 10_000)
    let expand = Method("/test.Echo/Blobs", request: text, response: Codec<ByteBuffer>.bytes)
    var router = Router()
    router.serverStreaming(expand) { _, responses, _ in
      for _ in 0..<1_000 {
        try await responses.write(message)
        written.add(message.readableBytes)
      }
    }
    router.unary(Echo.say) { request, _ in request }
    try await withPair(router) { (client, _) async throws in
      let responses = try await client.serverStreaming(expand, "")
      try await settled { written.value }
      // The stream's window, what the writer may run ahead, and what sits in sockets.
      #expect(written.value < 1_000_000)
      // Others on the same connection are not held back.
      #expect(try await client.unary(Echo.say, "a") == "a")
      var received = 0
      for try await message in responses { received += message.readableBytes }
      #expect(received == 10_000_000)
    }
  }

  @Test func aSlowHandlerHoldsTheWriterBack() async throws {
    let collect = Method("/test.Echo/Blobs", request: Codec<ByteBuffer>.bytes, response: text)
    let release = Gate()
    var router = Router()
    router.clientStreaming(collect) { requests, _ in
      await release.wait()
      var bytes = 0
      for try await request in requests { bytes += request.readableBytes }
      return "\(bytes)"
    }
    let written = Counter()
    let message = ByteBuffer(repeating: 1, count: 10_000)
    try await withPair(router) { (client, _) async throws in
      let answer = Task {
        try await client.clientStreaming(collect) { requests in
          for _ in 0..<1_000 {
            try await requests.write(message)
            written.add(message.readableBytes)
          }
        }
      }
      try await settled { written.value }
      #expect(written.value < 1_000_000)
      await release.open()
      #expect(try await answer.value == "10000000")
    }
  }
}
