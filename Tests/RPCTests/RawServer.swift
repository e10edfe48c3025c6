import HTTP2
import RPC

/// A server of frames that answers complete requests, for answers that no right server gives.
enum RawServer {
  /// What a client makes of a server that answers each complete request with what `answer` does.
  /// - Returns: The status that the call fails with; nil if it succeeds.
  static func outcome(
    _ options: ClientOptions = .init(), _ answer: @escaping @Sendable (Session, Int32) throws -> Void
  ) async throws -> Status? {
    let server = try await FrameServer.start { session, event in
      switch event {
      case .headers(let headers) where headers.endStream: try answer(session, headers.stream)
      case .end(let stream): try answer(session, stream)
      default: break
      }
      return nil
    }
    let client = Client(host: "127.0.0.1", port: server.port, options: options)
    let result = await status { try await client.unary(Echo.say, "a") }
    await client.close()
    await server.stop()
    return result
  }
}
