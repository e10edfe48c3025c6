import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Calls that meet a connection as it fills, ends or begins, against servers of frames: nothing may hang, or loop.
@Suite(.timeLimit(.minutes(2)))
struct EdgeOfConnectionTests {
  private func withServer(
    _ manners: FrameServer.Manners = .init(), options: ClientOptions = .init(),
    answer: @escaping FrameServer.Answer, _ body: (Client, FrameServer) async throws -> Void
  ) async throws {
    let server = try await FrameServer.start(manners, answer)
    let client = Client(host: "127.0.0.1", port: server.port, options: options)
    do {
      try await body(client, server)
    } catch {
      Issue.record(error)
    }
    await client.close()
    await server.stop()
  }

  /// Answers unary calls, but for those to `Echo.expand`, which stay open.
  private static func answerUnary(_ requests: Counter) -> FrameServer.Answer {
    let watches = Counter()
    return { session, event in
      switch event {
      case .headers(let headers):
        requests.add(1)
        if headers.block[":path"] == Echo.expand.path { watches.add(1) }
      case .end(let stream) where watches.value < requests.value: try session.answer(stream, "answered")
      default: break
      }
      return nil
    }
  }

  private static func request(_ channel: ClientChannel, ends: [CallEnd] = []) throws -> ClientCall {
    let frame = try Framing.encode("a", text, limit: 100)
    return ClientCall(
      channel: channel, path: Echo.say.path, options: .init(), request: frame, hasOneResponse: true, ends: ends)
  }

  // MARK: - Streams that never leave

  /// The segment that makes room for the waiting call says, too, that the connection takes no more.
  @Test func roomAndGoAwayAtOnce() async throws {
    let requests = Counter()
    var manners = FrameServer.Manners()
    manners.streams = 2
    let answer: FrameServer.Answer = { session, event in
      switch event {
      case .headers: requests.add(1)
      case .end(let stream) where stream == 3:
        try session.answer(stream, "second")
        return RawPeer.frame(7, [0, 0, 0, 3, 0, 0, 0, 0])
      case .end(let stream) where requests.value == 3: try session.answer(stream, "third")
      default: break
      }
      return nil
    }
    try await withServer(manners, answer: answer) { client, _ in
      let watch = try await client.serverStreaming(Echo.expand, "watch")
      try await eventually("the watch runs") { requests.value == 1 }
      let goOn = Gate()
      async let second = client.clientStreaming(Echo.collect) { _ in await goOn.wait() }
      try await eventually("both run") { try await client.look { $0.ready.first?.connectionWithRoom == nil } }
      async let third = client.unary(Echo.say, "a", .timeout(.seconds(20)))
      try await eventually("the third waits") { try await client.look { $0.queue.count } == 1 }
      await goOn.open()
      #expect(try await second == "second")
      #expect(try await third == "third")
      watch.cancel()
    }
  }

  /// A call that is cancelled before its headers left makes room for the next one, although nothing is written.
  @Test func cancelledInTheTurnItWasStarted() async throws {
    var manners = FrameServer.Manners()
    manners.streams = 1
    try await withServer(manners, answer: Self.answerUnary(Counter())) { client, _ in
      try await client.connect()
      let answered = Counter()
      let loop = client.channel.loop
      let channel = client.channel
      try await loop.submit {
        let first = try Self.request(channel)
        channel.submit(first)
        first.finish(.cancelled, reset: true)
        channel.submit(try Self.request(channel, ends: [{ answered.add($0.code == .ok ? 1 : 0) }]))
      }.get()
      try await eventually("the second call is answered") { answered.value == 1 }
    }
  }

  /// What nghttp2 would not send is not handed to it: 12 bytes are counted for each field.
  @Test(arguments: [(2_600, 16), (1, 65_600), (5_100, 2)])
  func moreMetadataThanCanBeSent(fields: Int, bytes: Int) async throws {
    let requests = Counter()
    try await withServer(answer: Self.answerUnary(requests)) { client, _ in
      var metadata: Metadata = [:]
      for _ in 0..<fields { metadata.add(String(repeating: "v", count: bytes - 1), for: "k") }
      let outcome = await status {
        try await client.unary(Echo.say, "a", CallOptions(deadline: .after(.seconds(20)), metadata: metadata))
      }
      #expect(outcome == Status(.resourceExhausted, "the request's metadata is over 64 KiB"))
      #expect(requests.value == 0)
    }
  }

  // MARK: - More connections to one address

  /// A client of two connections, and a server that takes one call on each and counts the requests.
  private func withPool(
    silent: Set<Int> = [], refused: Set<Int> = [], _ body: (Client, FrameServer, Counter) async throws -> Void
  ) async throws {
    var options = ClientOptions()
    options.connectionsPerAddress = 2
    options.minimumBackoff = .milliseconds(10)
    options.maximumBackoff = .milliseconds(20)
    var manners = FrameServer.Manners()
    (manners.streams, manners.silent, manners.refused) = (1, silent, refused)
    let requests = Counter()
    try await withServer(manners, options: options, answer: Self.answerUnary(requests)) { client, server in
      try await body(client, server, requests)
    }
  }

  /// The second connection is under way when the first is lost, and nobody waits any more.
  @Test func theLastConnectionIsLostWhileAnotherIsMade() async throws {
    try await withPool(silent: [2]) { client, server, requests in
      let first = try await client.serverStreaming(Echo.expand, "first")
      try await eventually("it runs") { requests.value == 1 }
      let waiting = Task { try await client.unary(Echo.say, "waits") }
      try await eventually("a second connection is made") { server.connections == 2 }
      waiting.cancel()
      try await eventually("nobody waits") { try await client.look { $0.queue.isEmpty } }
      try await server.hangUp(on: 1)
      #expect(await status { for try await _ in first {} }?.code == .unavailable)
      try await server.perform(on: 2)
      try await eventually("the second connection is ready, or was given up") {
        let isReady = try await client.look { !$0.ready.isEmpty }
        return isReady || !server.isOpen(2)
      }
      var held: [ResponseStream<String>] = []
      for number in 2...3 {
        held.append(try await client.serverStreaming(Echo.expand, "held"))
        try await eventually("\(number) were started") { requests.value == number }
      }
      // Whichever connections are left now: they go.
      for number in 2...server.connections { try? await server.hangUp(on: number) }
      for stream in held { #expect(await status { for try await _ in stream {} }?.code == .unavailable) }
      #expect(try await client.unary(Echo.say, "a", .timeout(.seconds(20))) == "answered")
    }
  }

  /// One more connection fails; the call for which it was made sees another made after the rest.
  @Test func aFurtherConnectionIsTriedAgain() async throws {
    try await withPool(refused: [2]) { client, server, requests in
      let endless = try await client.serverStreaming(Echo.expand, "endless")
      try await eventually("it runs") { requests.value == 1 }
      #expect(try await client.unary(Echo.say, "a", .timeout(.seconds(20))) == "answered")
      #expect(server.connections == 3)
      endless.cancel()
    }
  }

  /// One of two full connections dies: the call that waits gets another one.
  @Test func aFurtherConnectionIsReplaced() async throws {
    try await withPool { client, server, requests in
      var endless: [ResponseStream<String>] = []
      for number in 1...2 {
        endless.append(try await client.serverStreaming(Echo.expand, "endless"))
        try await eventually("\(number) run") { requests.value == number }
      }
      async let answer = client.unary(Echo.say, "a", .timeout(.seconds(20)))
      try await eventually("it waits") { try await client.look { $0.queue.count } == 1 }
      try await server.hangUp(on: 2)
      #expect(try await answer == "answered")
      for stream in endless { stream.cancel() }
    }
  }

  // MARK: - The end

  /// A server that takes nothing any more cannot keep the client from closing, nor a connection that was retired.
  @Test(arguments: [false, true])
  func aServerThatStopsReading(isRetired: Bool) async throws {
    var manners = FrameServer.Manners()
    manners.windows = 1 << 30
    manners.stopsReading = true
    try await withServer(manners, answer: { _, _ in nil }) { client, server in
      let upload = Task {
        try await client.clientStreaming(
          Method("/test.Echo/Upload", request: Codec<ByteBuffer>.bytes, response: text)
        ) { requests in
          while true { try await requests.write(ByteBuffer(repeating: 7, count: 1 << 20)) }
        }
      }
      try await eventually("the socket is full") {
        try await client.look { channel in
          channel.ready.first?.connections.first?.context?.channel.isWritable == false
        }
      }
      if isRetired {
        try await server.perform(on: 1) { $0.submitGoAway() }
        try await eventually("it takes no more calls") { try await client.look { $0.ready.isEmpty } }
        upload.cancel()
        try await eventually("the connection is closed") { try await client.look { $0.openConnections } == 0 }
      }
      await client.close()
      upload.cancel()
      #expect(await status { try await upload.value } != nil)
    }
  }

  // MARK: - Bad beginnings

  /// SETTINGS and nonsense in one segment: the connection was never good for a call, and the address has failed.
  @Test func settingsAndNonsenseAtOnce() async throws {
    let garbage = RawPeer.frame(4) + [0xFF, 0xFF, 0xFF] + [UInt8](repeating: 0xFF, count: 1_000)
    let server = try await HangUp.start(bytes: garbage)
    let client = Client(host: "127.0.0.1", port: server.port)
    let outcome = await status { try await client.unary(Echo.say, "a", .timeout(.seconds(5))) }
    #expect(outcome?.code == .unavailable)
    await client.close()
    await server.stop()
  }

  /// Calls do not wait until a connection that was cut off is closed, which is up to the server for a second.
  @Test func cutOffMeansOver() async throws {
    var manners = FrameServer.Manners()
    manners.prepare = { _ = $0.setOption(.allowRemoteHalfClosure, value: true) }
    let answer: FrameServer.Answer = { _, event in
      guard case .end = event else { return nil }
      return (0..<20).flatMap { _ in RawPeer.frame(4) }  // more SETTINGS than a minute may have
    }
    try await withServer(manners, answer: answer) { client, _ in
      try await client.connect()
      let open = NIOLockedValueBox<Int?>(nil)
      let channel = client.channel
      try await channel.loop.submit {
        let end: CallEnd = { status in
          #expect(status.code == .unavailable)
          open.withLockedValue { $0 = channel.openConnections }
        }
        channel.submit(try Self.request(channel, ends: [end]))
      }.get()
      try await eventually("the call is over") { open.withLockedValue { $0 } != nil }
      #expect(open.withLockedValue { $0 } == 1, "the connection still lingers")
    }
  }
}
