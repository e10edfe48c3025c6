import HTTP2
import NIOCore
import TestSupport
import Testing

@Suite struct MalformedTests {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(_ type: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let length = payload.count
    let id = UInt32(bitPattern: stream)
    return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, flags]
      + [UInt8(id >> 24), UInt8(id >> 16 & 0xFF), UInt8(id >> 8 & 0xFF), UInt8(id & 0xFF)] + payload
  }

  @Test func aWrongPrefaceEndsTheSession() throws {
    for text in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "garbage garbage garbage garbage", "PRI * HTTP/2.0\r\n\r\nXX"] {
      let server = try Session(.server)
      #expect(throws: HTTP2Error.self) { try server.receive(ByteBuffer(string: text)) }
    }
  }

  /// Every chunking of the same bytes means the same, byte by byte included: the gate keeps frame headers whole.
  @Test(arguments: [1, 2, 3, 8, 9, 10, 100])
  func chunksDoNotMatter(size: Int) throws {
    let pair = try SessionPair()
    var headers = SessionPair.requestHeaders
    // Long enough for CONTINUATION frames.
    for number in 0..<20 { headers.append("x-long-\(number)", String(repeating: "~\(number)|", count: 300)) }
    var configuration = Session.Configuration()
    configuration.maximumHeaderBytes = 1_000_000
    let server = try Session(.server, configuration: configuration)
    let output = StreamOutput()
    output.append(ByteBuffer(string: String(repeating: "body", count: 1_000)))
    output.end()
    let stream = try pair.client.request(headers: headers, output: output)
    let bytes = try SessionPair.output(of: pair.client)
    #expect(bytes.readableBytes > 16_384 + 4_000)
    try SessionPair.feed(bytes, to: server) { size }
    let events = server.takeEvents()
    #expect(events.headers(stream).first?.block.count == headers.count)
    #expect(events.body(stream).utf8.count == 4_000)
    #expect(events.hasEnd(stream))
  }

  @Test func randomChunks() throws {
    var random = SeededRandom()
    for _ in 0..<50 {
      let pair = try SessionPair()
      let text = String(repeating: "y", count: Int.random(in: 0..<40_000, using: &random))
      let (stream, _) = try pair.request(text)
      try pair.exchange { Int.random(in: 1..<200, using: &random) }
      #expect(pair.serverEvents.body(stream) == text)
    }
  }

  /// Whatever comes, the session answers or ends: it does not crash, and it does not go on as if nothing was.
  @Test func randomBytes() throws {
    var random = SeededRandom()
    for _ in 0..<2_000 {
      let server = try Session(.server)
      var bytes = Self.preface + Self.frame(4)
      for _ in 0..<Int.random(in: 1..<6, using: &random) {
        let length = Int.random(in: 0..<40, using: &random)
        let payload = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes += Self.frame(
          UInt8.random(in: 0..<12, using: &random), flags: UInt8.random(in: 0...255, using: &random),
          stream: Int32.random(in: 0..<4, using: &random), payload)
      }
      try? server.receive(ByteBuffer(bytes: bytes))
      _ = server.takeEvents()
      _ = try? SessionPair.output(of: server)
    }
  }

  @Test func aFrameThatIsTooLongEndsTheSession() throws {
    let server = try Session(.server)
    let bytes = Self.preface + Self.frame(4) + Self.frame(0, stream: 1, [UInt8](repeating: 0, count: 20_000))
    try? server.receive(ByteBuffer(bytes: bytes))
    _ = try SessionPair.output(of: server)
    #expect(!server.isAlive)
  }

  @Test func anOversizedHeaderListIsFlagged() throws {
    let pair = try SessionPair()
    var headers = SessionPair.requestHeaders
    for number in 0..<20 { headers.append("x-\(number)", String(repeating: "v", count: 1_000)) }
    let stream = try pair.client.request(headers: headers, output: nil)
    try pair.exchange()
    let received = try #require(pair.serverEvents.headers(stream).first)
    #expect(received.isOversized)
    #expect(received.block.bytes.count <= 16 * 1024)
  }

  @Test func tooManyHeaderFieldsAreFlagged() throws {
    let pair = try SessionPair()
    var headers = SessionPair.requestHeaders
    for number in 0..<150 { headers.append("x-\(number)", "") }
    let stream = try pair.client.request(headers: headers, output: nil)
    try pair.exchange()
    let received = try #require(pair.serverEvents.headers(stream).first)
    #expect(received.isOversized)
    #expect(received.block.count == 100)
  }

  @Test func aHugeHeaderListResetsItsStream() throws {
    let pair = try SessionPair()
    try pair.exchange()
    var headers = SessionPair.requestHeaders
    for number in 0..<1_900 { headers.append("x-\(number)", "v") }
    let stream = try pair.client.request(headers: headers, output: nil)
    try pair.exchange()
    #expect(pair.serverEvents.headers(stream).isEmpty)
    #expect(pair.clientEvents.closeCode(stream) == ErrorCode.internalError.rawValue)
    #expect(pair.server.takeProvoked() == 1)
  }

  /// nghttp2 would answer a thousand resets with INTERNAL_ERROR: they are `FloodGuard`'s to judge, and counted for it.
  @Test func rapidResetsAreCounted() throws {
    let pair = try SessionPair()
    try pair.exchange()
    var guardian = FloodGuard()
    var count = 0
    var violation: FloodGuard.Violation?
    while violation == nil, count < 2_000 {
      let (stream, _) = try pair.request("a", end: false)
      var bytes = try SessionPair.output(of: pair.client)
      pair.client.reset(stream: stream, code: .cancel)
      bytes.writeImmutableBuffer(try SessionPair.output(of: pair.client))
      _ = pair.client.takeEvents()
      try pair.server.receive(bytes)
      count += 1
      violation = guardian.note(pair.server.takeFrameCounts(), provoked: 0, sent: 0, now: 1_000_000_000_000)
    }
    #expect(violation == .resets)
    #expect(count == 201)
    #expect(pair.server.isAlive)
  }
}
