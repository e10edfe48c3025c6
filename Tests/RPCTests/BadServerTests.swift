import HTTP2
import NIOCore
import RPC
import Testing

/// Servers that answer oddly: what the client makes of it.
@Suite(.timeLimit(.minutes(2)))
struct BadServerTests {
  private func outcome(_ answer: @escaping @Sendable (Session, Int32) throws -> Void) async throws -> Status? {
    try await RawServer.outcome(.init(), answer)
  }

  private func respond(
    _ headers: HeaderBlock, body: [UInt8]? = nil, trailers: HeaderBlock? = nil
  ) async throws -> Status? {
    try await outcome { session, stream in
      let output = body.map { body in
        let output = StreamOutput()
        output.append(ByteBuffer(bytes: body))
        output.end(trailers: trailers)
        return output
      }
      try session.respond(stream: stream, headers: headers, output: output)
    }
  }

  private static let head: HeaderBlock = [":status": "200", "content-type": "application/grpc"]
  private static let message: [UInt8] = [0, 0, 0, 0, 1, UInt8(ascii: "a")]

  @Test func anAnswerAsItShouldBe() async throws {
    #expect(try await respond(Self.head, body: Self.message, trailers: ["grpc-status": "0"]) == nil)
  }

  @Test(arguments: [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2)])
  func httpStatus(http: Int, code: Int) async throws {
    #expect(try await respond([":status": "\(http)"])?.code.rawValue == code)
    #expect(try await respond([":status": "\(http)"], body: Array("sorry".utf8))?.code.rawValue == code)
  }

  @Test func answersThatAreNotGRPC() async throws {
    #expect(try await respond(Self.head)?.code == .internalError)
    #expect(try await respond([":status": "200", "content-type": "text/html"], body: [60])?.code == .unknown)
    #expect(try await respond(Self.head, body: Self.message)?.code == .internalError)
    #expect(try await respond(Self.head, body: Self.message, trailers: ["x": "y"])?.code == .internalError)
    #expect(try await respond(Self.head, body: [0, 0], trailers: ["grpc-status": "0"])?.code == .internalError)
    #expect(try await respond(Self.head, body: [], trailers: ["grpc-status": "0"])?.code == .internalError)
    let two = Self.message + Self.message
    #expect(try await respond(Self.head, body: two, trailers: ["grpc-status": "0"])?.code == .internalError)
    let long: [UInt8] = [0, 0x7F, 0, 0, 0]
    #expect(try await respond(Self.head, body: long, trailers: ["grpc-status": "0"])?.code == .resourceExhausted)
    #expect(try await respond(Self.head, body: Self.message, trailers: ["grpc-status": "77"])?.code == .unknown)
    #expect(try await respond(Self.head, body: Self.message, trailers: ["grpc-status": "x"])?.code == .unknown)
  }

  /// Trailers with OK do not make whole what was cut.
  @Test func aMessageThatIsCut() async throws {
    let ok: HeaderBlock = ["grpc-status": "0"]
    let piece: [UInt8] = [0, 0, 0, 0, 9, UInt8(ascii: "b")]
    #expect(try await respond(Self.head, body: Self.message + piece, trailers: ok)?.code == .internalError)
    let server = try await FrameServer.start { session, event in
      guard case .headers(let headers) = event else { return nil }
      let output = StreamOutput()
      output.append(ByteBuffer(bytes: Self.message + piece))
      output.end(trailers: ok)
      try session.respond(stream: headers.stream, headers: Self.head, output: output)
      return nil
    }
    let client = Client(host: "127.0.0.1", port: server.port)
    var received: [String] = []
    let end = await status {
      for try await message in try await client.serverStreaming(Echo.expand, "1") { received.append(message) }
    }
    #expect(received == ["a"])
    #expect(end?.code == .internalError)
    #expect(end?.message == "the stream ended inside a message")
    // What the server says of a failure stands.
    #expect(
      try await respond(Self.head, body: piece, trailers: ["grpc-status": "5"])?.code == .notFound)
    await client.close()
    await server.stop()
  }

  @Test(arguments: [
    (ErrorCode.noError, Status.Code.internalError), (.protocolError, .internalError), (.internalError, .internalError),
    (.cancel, .cancelled), (.enhanceYourCalm, .resourceExhausted), (.inadequateSecurity, .permissionDenied),
  ])
  func resets(code: ErrorCode, status: Status.Code) async throws {
    #expect(try await outcome { $0.reset(stream: $1, code: code) }?.code == status)
  }

  @Test func aConnectionThatBreaks() async throws {
    let status = try await outcome { session, _ in session.terminate(code: .internalError) }
    #expect(status?.code == .unavailable)
  }
}
