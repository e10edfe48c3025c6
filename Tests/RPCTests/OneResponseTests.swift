import HTTP2
import NIOCore
import RPC
import TestSupport
import Testing

/// Servers that send more than the one response which a call has, and do not end it: the call does.
@Suite(.timeLimit(.minutes(2)))
struct OneResponseTests {
  enum Second: CaseIterable {
    /// Whole, in one piece with the first.
    case whole
    /// Only its prefix, after the first has been taken in.
    case begun
    /// Larger than any window, with trailers behind it.
    case large

    var bytes: ByteBuffer {
      var buffer = ByteBuffer()
      buffer.writeInteger(UInt8(0))
      switch self {
      case .whole: buffer.writeImmutableBuffer(ByteBuffer(bytes: [0, 0, 0, 1, UInt8(ascii: "b")]))
      case .begun: buffer.writeInteger(UInt32(1))
      case .large:
        buffer.writeInteger(UInt32(3 << 20))
        buffer.writeRepeatingByte(7, count: 3 << 20)
      }
      return buffer
    }
  }

  @Test(arguments: Second.allCases, [false, true])
  func aSecondOneEndsTheCall(second: Second, isStreaming: Bool) async throws {
    let (outputs, resets) = (Outputs(), Counter())
    let server = try await FrameServer.start { session, event in
      switch event {
      case .end(let stream):
        let output = StreamOutput()
        output.append(ByteBuffer(bytes: [0, 0, 0, 0, 1, UInt8(ascii: "a")]))
        outputs.all.append((stream, output))
        if second != .begun { outputs.finish(session, second) }
        try session.respond(
          stream: stream, headers: [":status": "200", "content-type": "application/grpc"], output: output)
        if second == .begun { session.submitPing() }  // its answer comes when the client has the first
      case .pong: outputs.finish(session, second)
      case .closed(_, let code) where code == ErrorCode.cancel.rawValue: resets.add(1)
      default: break
      }
      return nil
    }
    let client = Client(host: "127.0.0.1", port: server.port)
    let patience = CallOptions.timeout(.seconds(20))
    let outcome = await status {
      isStreaming
        ? try await client.clientStreaming(Echo.collect, patience) { try await $0.write("a") }
        : try await client.unary(Echo.say, "a", patience)
    }
    #expect(outcome == Status(.internalError, "the server sent more than one response"))
    try await eventually("the server is told") { resets.value == 1 }
    await client.close()
    await server.stop()
  }

  /// `@unchecked Sendable`: belongs to the loop of the one connection.
  private final class Outputs: @unchecked Sendable {
    var all: [(stream: Int32, output: StreamOutput)] = []

    func finish(_ session: Session, _ second: Second) {
      for (stream, output) in all {
        output.append(second.bytes)
        if second == .large { output.end(trailers: ["grpc-status": "0"]) }
        session.resume(stream: stream, output: output)
      }
      all = []
    }
  }
}
