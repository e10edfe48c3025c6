import HTTP2
import NIOCore
import Testing

@Suite struct SessionTests {
  @Test func requestAndResponseWithTrailers() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request("ping")
    try pair.exchange()
    let request = try #require(pair.serverEvents.headers(stream).first)
    #expect(request.block[":path"] == "/a/b")
    #expect(request.block["x-one"] == "1")
    #expect(!request.endStream && !request.isOversized)
    #expect(pair.serverEvents.body(stream) == "ping")
    #expect(pair.serverEvents.hasEnd(stream))

    let output = StreamOutput()
    output.append(ByteBuffer(string: "po"))
    output.append(ByteBuffer(string: "ng"))
    output.end(trailers: ["grpc-status": "0"])
    try pair.server.respond(stream: stream, headers: [":status": "200"], output: output)
    try pair.exchange()
    let blocks = pair.clientEvents.headers(stream)
    #expect(blocks.count == 2)
    #expect(blocks.first?.block[":status"] == "200")
    #expect(blocks.last?.block["grpc-status"] == "0")
    #expect(blocks.last?.endStream == true)
    #expect(pair.clientEvents.body(stream) == "pong")
    #expect(pair.clientEvents.closeCode(stream) == 0)
    #expect(pair.serverEvents.closeCode(stream) == 0)
  }

  /// nghttp2 goes on reading from the first answer's output.
  @Test func aSecondAnswerIsRefused() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request("ping")
    try pair.exchange()
    func answer(_ text: String) throws {
      let output = StreamOutput()
      output.append(ByteBuffer(string: text))
      output.end()
      try pair.server.respond(stream: stream, headers: [":status": "200"], output: output)
    }
    try answer("first")
    #expect(throws: HTTP2Error.self) { try answer("second") }
    try pair.exchange()
    #expect(pair.clientEvents.body(stream) == "first")
  }

  @Test func headersAlone() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request()
    try pair.exchange()
    #expect(pair.serverEvents.headers(stream).first?.endStream == true)
    try pair.server.respond(stream: stream, headers: [":status": "404"], output: nil)
    try pair.exchange()
    #expect(pair.clientEvents.headers(stream).map(\.endStream) == [true])
    #expect(pair.clientEvents.closeCode(stream) == 0)
  }

  @Test func trailersWithoutData() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request()
    try pair.exchange()
    let output = StreamOutput()
    try pair.server.respond(stream: stream, headers: [":status": "200"], output: output)
    try pair.exchange()
    #expect(pair.clientEvents.headers(stream).count == 1)
    output.end(trailers: ["a": "b"])
    pair.server.resume(stream: stream, output: output)
    try pair.exchange()
    #expect(pair.clientEvents.headers(stream).last?.block["a"] == "b")
    #expect(pair.clientEvents.body(stream) == "")
  }

  @Test func outputThatComesInPieces() throws {
    let pair = try SessionPair()
    let (stream, maybe) = try pair.request("a", end: false)
    let output = try #require(maybe)
    try pair.exchange()
    for piece in ["b", "c", "d"] {
      output.append(ByteBuffer(string: piece))
      pair.client.resume(stream: stream, output: output)
      try pair.exchange()
    }
    #expect(pair.serverEvents.body(stream) == "abcd")
    #expect(!pair.serverEvents.hasEnd(stream))
    output.end()
    pair.client.resume(stream: stream, output: output)
    try pair.exchange()
    #expect(pair.serverEvents.hasEnd(stream))
  }

  @Test func windowHoldsASenderBackUntilItIsCredited() throws {
    var configuration = Session.Configuration()
    configuration.streamWindow = 1_000
    let pair = try SessionPair(server: configuration)
    try pair.exchange()  // so that the client knows the window
    let (stream, maybe) = try pair.request(String(repeating: "x", count: 5_000))
    let output = try #require(maybe)
    output.drainMark = 2_500
    try pair.exchange()
    #expect(pair.serverEvents.body(stream).utf8.count == 1_000)
    #expect(output.bufferedBytes == 4_000)
    #expect(!pair.clientEvents.contains { if case .writable = $0 { true } else { false } })

    for expected in [2_000, 3_000] {
      pair.server.consume(stream: stream, bytes: 1_000)
      try pair.exchange()
      #expect(pair.serverEvents.body(stream).utf8.count == expected)
    }
    #expect(pair.clientEvents.contains { if case .writable(stream) = $0 { true } else { false } })
    for _ in 0..<2 {
      pair.server.consume(stream: stream, bytes: 1_000)
      try pair.exchange()
    }
    #expect(pair.serverEvents.body(stream).utf8.count == 5_000)
    #expect(pair.serverEvents.hasEnd(stream))
  }

  /// One stream that nobody reads must not use up the connection's window.
  @Test func aStalledStreamDoesNotStopOthers() throws {
    var configuration = Session.Configuration()
    configuration.streamWindow = 60_000
    configuration.connectionWindow = 65_535
    let pair = try SessionPair(server: configuration)
    try pair.exchange()
    let text = String(repeating: "x", count: 60_000)
    let stalled = try (0..<5).map { _ in try pair.request(text + text).0 }
    try pair.exchange()
    let (stream, _) = try pair.request(text)
    try pair.exchange()
    for stream in stalled { #expect(pair.serverEvents.body(stream).utf8.count == 60_000) }
    #expect(pair.serverEvents.hasEnd(stream))
  }

  @Test func resetsReachTheOtherSide() throws {
    let pair = try SessionPair()
    let (first, _) = try pair.request("a", end: false)
    let (second, _) = try pair.request("b", end: false)
    try pair.exchange()
    pair.client.reset(stream: first, code: .cancel)
    pair.server.reset(stream: second, code: .refusedStream)
    try pair.exchange()
    #expect(pair.serverEvents.closeCode(first) == ErrorCode.cancel.rawValue)
    #expect(pair.clientEvents.closeCode(first) == ErrorCode.cancel.rawValue)
    #expect(pair.clientEvents.closeCode(second) == ErrorCode.refusedStream.rawValue)
  }

  @Test func aRequestResetBeforeItWasSentNeverArrives() throws {
    let pair = try SessionPair()
    try pair.exchange()
    let (stream, _) = try pair.request("a")
    pair.client.reset(stream: stream, code: .cancel)
    try pair.exchange()
    #expect(pair.serverEvents.headers(stream).isEmpty)
    #expect(pair.clientEvents.closeCode(stream) == ErrorCode.cancel.rawValue)
  }

  @Test func goAwayLetsStreamsFinishAndRefusesLaterOnes() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request("a")
    try pair.exchange()
    pair.server.submitGoAway()
    try pair.exchange()
    #expect(pair.clientEvents.contains { if case .goAway(stream, 0, _) = $0 { true } else { false } })
    #expect(!pair.client.canRequest)
    let output = StreamOutput()
    output.end(trailers: ["grpc-status": "0"])
    try pair.server.respond(stream: stream, headers: [":status": "200"], output: output)
    try pair.exchange()
    #expect(pair.clientEvents.closeCode(stream) == 0)
  }

  @Test func streamsAboveGoAwayAreRefused() throws {
    let pair = try SessionPair()
    try pair.exchange()
    pair.server.submitGoAway()
    // The GOAWAY is on its way while the client opens a stream.
    let goAway = try SessionPair.output(of: pair.server)
    let (stream, _) = try pair.request("a")
    _ = try SessionPair.output(of: pair.client)
    try pair.client.receive(goAway)
    let code = pair.client.takeEvents().closeCode(stream)
    #expect(code == ErrorCode.refusedStream.rawValue)
    #expect(pair.client.lastSentStream == stream)
  }

  @Test func aStreamThatNeverLeftIsTold() throws {
    let pair = try SessionPair()
    let (first, _) = try pair.request("a")
    try pair.exchange()
    pair.server.submitGoAway()
    let goAway = try SessionPair.output(of: pair.server)
    // The GOAWAY arrives while the request waits to be written.
    let (stream, output) = try pair.request("b")
    try pair.client.receive(goAway)
    _ = try SessionPair.output(of: pair.client)
    #expect(pair.client.takeEvents().closeCode(stream) == ErrorCode.refusedStream.rawValue)
    #expect(pair.client.lastSentStream == first)
    #expect(output?.bufferedBytes == 1)
  }

  @Test func endIsReportedWhenAskedFor() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request("a", end: false)
    try pair.exchange()
    pair.server.notifyEnd(stream: stream)
    try pair.server.respond(stream: stream, headers: [":status": "415"], output: nil)
    try pair.exchange()
    #expect(pair.serverEvents.contains { if case .endSent(stream) = $0 { true } else { false } })
    #expect(pair.server.isReceiving(stream: stream))
  }

  @Test func pingIsAnswered() throws {
    let pair = try SessionPair()
    pair.client.submitPing()
    try pair.exchange()
    #expect(pair.clientEvents.contains { if case .pong = $0 { true } else { false } })
    #expect(pair.server.takeFrameCounts().pings == 1)
  }

  /// Request and reset in one read: the stream is closed before its owner hears of it, and nothing is kept for it.
  @Test(arguments: [false, true])
  func anAnswerThatComesTooLateIsNotKept(hasOutput: Bool) throws {
    let pair = try SessionPair()
    try pair.exchange()
    for _ in 0..<10 {
      let (stream, _) = try pair.request("a", end: false)
      var bytes = try SessionPair.output(of: pair.client)
      pair.client.reset(stream: stream, code: .cancel)
      bytes.writeImmutableBuffer(try SessionPair.output(of: pair.client))
      try pair.server.receive(bytes)
      #expect(pair.server.takeEvents().headers(stream).count == 1)
      pair.server.notifyEnd(stream: stream)
      #expect(throws: HTTP2Error.self) {
        try pair.server.respond(
          stream: stream, headers: [":status": "200"], output: hasOutput ? StreamOutput() : nil)
      }
    }
    try pair.exchange()
    #expect(pair.server.heldStreams == 0)
  }

  @Test(arguments: [0, 4] as [UInt8])
  func aHeaderBlockLastsUntilItsLastByte(flags: UInt8) throws {
    let server = try Session(.server)
    // A field of "a: b" without indexing, in the END_HEADERS frame or before it.
    let field: [UInt8] = [0, 1, UInt8(ascii: "a"), 1, UInt8(ascii: "b")]
    var blocks = [MalformedTests.frame(1, flags: flags, stream: 1, field)]
    if flags == 0 { blocks.append(MalformedTests.frame(9, flags: 4, stream: 1, field)) }
    try server.receive(ByteBuffer(bytes: MalformedTests.preface + MalformedTests.frame(4)))
    #expect(!server.isInsideHeaders)
    let bytes = Array(blocks.joined())
    for (index, byte) in bytes.enumerated() {
      try server.receive(ByteBuffer(bytes: [byte]))
      #expect(server.isInsideHeaders == (index >= 8 && index < bytes.count - 1), "byte \(index)")
    }
    // As part of a read like any other.
    try server.receive(ByteBuffer(bytes: MalformedTests.frame(1, flags: 4, stream: 3, field) + [0, 0]))
    #expect(!server.isInsideHeaders)
  }

  /// What no window can be, and limits that mean none.
  @Test(arguments: [Int.min, -1, 0, 1, 1 << 31 - 1, 1 << 31, .max])
  func configurationsAtTheirEnds(value: Int) throws {
    typealias Path = WritableKeyPath<Session.Configuration, Int>
    let paths: [Path] = [
      \.maximumStreams, \.streamWindow, \.connectionWindow, \.maximumHeaderBytes, \.maximumHeaderFields,
    ]
    for path in paths {
      var configuration = Session.Configuration()
      configuration[keyPath: path] = value
      let pair = try SessionPair(client: configuration, server: configuration)
      try pair.exchange()
      var headers = SessionPair.requestHeaders
      for number in 0..<110 { headers.append("x-\(number)", "v") }
      let output = StreamOutput()
      output.append(ByteBuffer(string: "body"))
      output.end()
      let stream = try pair.client.request(headers: headers, output: output)
      for _ in 0..<4 {
        try pair.exchange()
        pair.server.consume(stream: stream, bytes: 1)
      }
      #expect(pair.serverEvents.headers(stream).count == 1)
      #expect(pair.serverEvents.body(stream) == "body")
      try pair.server.respond(stream: stream, headers: [":status": "200"], output: nil)
      try pair.exchange()
      #expect(pair.clientEvents.headers(stream).count == 1)
    }
  }

  @Test func terminateWithAReasonLeavesOpenStreams() throws {
    let pair = try SessionPair()
    let (stream, _) = try pair.request("a")
    try pair.exchange()
    pair.server.terminate(code: .enhanceYourCalm, reason: "why")
    try pair.exchange()
    #expect(pair.clientEvents.contains { if case .goAway(stream, 11, "why") = $0 { true } else { false } })
    #expect(pair.server.isAlive)
    try pair.server.respond(stream: stream, headers: [":status": "200"], output: nil)
    try pair.exchange()
    #expect(!pair.server.isAlive)
  }

  @Test func terminateEndsTheSession() throws {
    let pair = try SessionPair()
    try pair.exchange()
    pair.server.terminate(code: .enhanceYourCalm)
    try pair.exchange()
    #expect(!pair.server.isAlive)
    #expect(pair.clientEvents.contains { if case .goAway(_, 11, _) = $0 { true } else { false } })
  }
}
