import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import RPC
import TestSupport
import Testing

/// Calls that the server certainly did not look at, and connections that break.
@Suite(.timeLimit(.minutes(2)))
struct TransparentRetryTests {
  /// What a server of frames received, by stream, connection after connection.
  private final class Received: Sendable {
    private let state = NIOLockedValueBox<(streams: Int, body: ByteBuffer)>((0, ByteBuffer()))
    var streams: Int { state.withLockedValue { $0.streams } }

    /// Counts streams, and keeps the body of the newest.
    func take(_ event: Event) {
      state.withLockedValue { state in
        switch event {
        case .headers: state = (state.streams + 1, ByteBuffer())
        case .data(_, let chunk): state.body.writeImmutableBuffer(chunk)
        default: break
        }
      }
    }

    /// The messages in the body, without their prefixes.
    var messages: [String] {
      var body = state.withLockedValue { $0.body }
      var result: [String] = []
      while body.readInteger(as: UInt8.self) != nil, let length = body.readInteger(as: UInt32.self),
        let text = body.readString(length: Int(length))
      {
        result.append(text)
      }
      return result
    }
  }

  private func withServer(
    _ options: ClientOptions = .init(), _ answer: @escaping FrameServer.Answer,
    _ body: (Client) async throws -> Void
  ) async throws {
    let server = try await FrameServer.start(.init(), answer)
    let client = Client(host: "127.0.0.1", port: server.port, options: options)
    try await body(client)
    await client.close()
    await server.stop()
  }

  private static func configured(_ attempts: Int = 3) throws -> ClientOptions {
    RetryTests.options(try RetryTests.policy(attempts))
  }

  /// A stream that is refused once is sent again with what was written before, with and without a policy.
  @Test(arguments: [false, true])
  func aRefusedStreamOfRequests(hasPolicy: Bool) async throws {
    let received = Received()
    let options = hasPolicy ? try Self.configured() : ClientOptions()
    try await withServer(options) { session, event in
      received.take(event)
      switch event {
      case .data(let stream, _) where received.streams == 1 && received.messages.count == 2:
        session.reset(stream: stream, code: .refusedStream)
      case .headers(let headers) where headers.block["grpc-previous-rpc-attempts"] != nil:
        session.reset(stream: headers.stream, code: .protocolError)  // it does not count as an attempt
      case .end(let stream): try session.answer(stream, "done")
      default: break
      }
      return nil
    } _: { client in
      let answer = try await client.clientStreaming(Echo.collect) { requests in
        for word in ["a", "b"] { try await requests.write(word) }
        try await eventually("the second stream") { received.streams == 2 }
        try await requests.write("c")
      }
      #expect(answer == "done")
      #expect(received.messages == ["a", "b", "c"])
      #expect(received.streams == 2)
    }
  }

  @Test func aSecondRefusalIsAFailure() async throws {
    for (policy, expected) in [(false, 2), (true, 4)] {
      let received = Received()
      try await withServer(policy ? try Self.configured() : ClientOptions()) { session, event in
        received.take(event)
        if case .end(let stream) = event { session.reset(stream: stream, code: .refusedStream) }
        return nil
      } _: { client in
        #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
        #expect(received.streams == expected)
      }
    }
  }

  /// Without a replay buffer a stream of requests cannot be sent again.
  @Test func nothingIsKeptWithoutABuffer() async throws {
    let received = Received()
    var options = ClientOptions()
    options.replayBytes = 0
    try await withServer(options) { session, event in
      received.take(event)
      if case .end(let stream) = event { session.reset(stream: stream, code: .refusedStream) }
      return nil
    } _: { client in
      let outcome = await status { try await client.clientStreaming(Echo.collect) { try await $0.write("a") } }
      #expect(outcome?.code == .unavailable)
      #expect(received.streams == 1)
    }
  }

  /// A GOAWAY that names an earlier stream: the call goes to the next connection.
  @Test(arguments: [false, true])
  func goAwayMidFlight(isStream: Bool) async throws {
    let received = Received()
    try await withServer { session, event in
      received.take(event)
      guard case .end(let stream) = event else { return nil }
      // The last stream that is looked at is 0, the code NO_ERROR.
      guard received.streams > 1 else { return RawPeer.frame(7, [UInt8](repeating: 0, count: 8)) }
      try session.answer(stream, "second")
      return nil
    } _: { client in
      let answer = isStream
        ? try await client.clientStreaming(Echo.collect) { try await $0.write("a") }
        : try await client.unary(Echo.say, "a")
      #expect(answer == "second")
      #expect(received.streams == 2)
      #expect(received.messages == ["a"])
    }
  }

  @Test func aConnectionThatIsLost() async throws {
    for (policy, expected) in [(false, nil), (true, "second")] {
      let received = Received()
      try await withServer(policy ? try Self.configured() : ClientOptions()) { session, event in
        received.take(event)
        guard case .end(let stream) = event else { return nil }
        guard received.streams == 1 else {
          try session.answer(stream, "second")
          return nil
        }
        session.terminate(code: .internalError)
        return nil
      } _: { client in
        let answer = try? await client.clientStreaming(Echo.collect) { try await $0.write("a") }
        #expect(answer == expected)
        #expect(received.streams == (policy ? 2 : 1))
      }
    }
  }

  /// Headers that are no trailers commit the call, whatever comes behind them.
  @Test func headersCommit() async throws {
    let received = Received()
    try await withServer(try Self.configured()) { session, event in
      received.take(event)
      guard case .end(let stream) = event else { return nil }
      let output = StreamOutput()
      output.end(trailers: ["grpc-status": "14", "grpc-message": "late"])
      try session.respond(
        stream: stream, headers: [":status": "200", "content-type": "application/grpc"], output: output)
      return nil
    } _: { client in
      #expect(await status { try await client.unary(Echo.say, "a") } == Status(.unavailable, "late"))
      #expect(received.streams == 1)
    }
  }

  /// A proxy's page of an error is no answer: the attempt has failed, whether the page ends or not.
  @Test(arguments: [false, true])
  func aPageIsAFailure(ends: Bool) async throws {
    let received = Received()
    try await withServer(try Self.configured()) { session, event in
      received.take(event)
      guard case .end(let stream) = event else { return nil }
      if received.streams == 1 {
        try session.respond(stream, page: "503", ends: ends)
      } else {
        try session.answer(stream, "second")
      }
      return nil
    } _: { client in
      let answer = try await client.unary(Echo.say, "a", .timeout(.seconds(20)))
      #expect(answer == "second")
      #expect(received.streams == 2)
      #expect(received.messages == ["a"])
    }
  }

  /// Nor does it win over the other copies of a call that is hedged.
  @Test func aPageDoesNotEndOtherCopies() async throws {
    let received = Received()
    let other = Counter()
    var options = ClientOptions()
    let policy = try HedgingPolicy(maximumAttempts: 2, hedgingDelay: .zero)
    options.methods = [MethodConfiguration(.all, attempts: .hedge(policy))]
    try await withServer(options) { session, event in
      received.take(event)
      switch event {
      case .end(let stream) where other.value == 0: other.add(Int(stream))
      case .end(let stream):
        try session.respond(stream, page: "503", ends: false)
        session.submitPing()  // its answer comes when the client knows
      case .pong: try session.answer(Int32(other.value), "healthy")
      default: break
      }
      return nil
    } _: { client in
      let answer = try await client.unary(Echo.say, "a", .timeout(.seconds(20)))
      #expect(answer == "healthy")
      #expect(received.streams == 2)
    }
  }

  /// A buffer that overflows between two attempts: the writer waits for the one that is left.
  @Test func anOverflowBetweenAttempts() async throws {
    let received = Received()
    let hasFailed = Gate()
    let options = RetryTests.options(try RetryTests.policy(4), replayBytes: 20)
    try await withServer(options) { session, event in
      received.take(event)
      switch event {
      case .data(let stream, _) where received.streams == 1:
        try session.refuse(stream, "the first", pushback: 100)
        session.submitPing()  // its answer comes when the client knows
      case .pong: Task { await hasFailed.open() }
      case .end(let stream): try session.refuse(stream, "the last")
      default: break
      }
      return nil
    } _: { client in
      let outcome = await status {
        try await client.clientStreaming(Echo.collect) { requests in
          try await requests.write("a")
          await hasFailed.wait()
          for _ in 0..<100 { try await requests.write(String(repeating: "x", count: 30)) }
        }
      }
      #expect(outcome?.message == "the last")
      #expect(received.streams == 2)
      #expect(received.messages.count == 101)
    }
  }
}

extension Session {
  /// What a proxy says.
  fileprivate func respond(_ stream: Int32, page status: String, ends: Bool) throws {
    let output = StreamOutput()
    output.append(ByteBuffer(string: "<html>sorry</html>"))
    if ends { output.end() }
    try respond(stream: stream, headers: [":status": status, "content-type": "text/html"], output: output)
  }

  /// UNAVAILABLE in trailers alone.
  fileprivate func refuse(_ stream: Int32, _ message: String, pushback: Int? = nil) throws {
    var headers: HeaderBlock = [":status": "200", "content-type": "application/grpc", "grpc-status": "14"]
    headers.append("grpc-message", message)
    if let pushback { headers.append("grpc-retry-pushback-ms", String(pushback)) }
    try respond(stream: stream, headers: headers, output: nil)
  }
}
