import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server on loopback whose answers a test writes: the only way to a gateway that breaks off, lies or falls
/// silent at a chosen byte.
final class PeerGateway: Sendable {
  struct Request: Sendable {
    let method: HTTPMethod
    let uri: String
    let headers: HTTPHeaders
    let body: [UInt8]

    var path: String { String(uri.prefix { $0 != "?" }) }
    func header(_ name: String) -> String? { headers.first(name: name) }
  }

  /// Thrown by a handler to break the connection off where it is.
  struct BreakOff: Error {}

  struct Reply: Sendable {
    fileprivate let writer: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>

    func head(_ status: HTTPResponseStatus = .ok, _ headers: HTTPHeaders = [:]) async throws {
      try await writer.write(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers)))
    }

    func body(_ text: String) async throws { try await writer.write(.body(.byteBuffer(ByteBuffer(string: text)))) }

    func end() async throws { try await writer.write(.end(nil)) }

    func json(_ text: String, _ status: HTTPResponseStatus = .ok) async throws {
      try await head(status, ["content-type": "application/json", "content-length": "\(text.utf8.count)"])
      try await body(text)
      try await end()
    }

    func events() async throws { try await head(.ok, ["content-type": "text/event-stream"]) }

    /// An event of step progress.
    func event(_ sequence: Int, type: String = "step_progress", _ fields: String = "") async throws {
      let proto = "EVENT_TYPE_\(type.uppercased())"
      let data = "{\"missionId\":\"m-1\",\"sequence\":\"\(sequence)\",\"type\":\"\(proto)\"\(fields)}"
      try await body("id: \(sequence)\nevent: \(type)\ndata: \(data)\n\n")
    }

    func lastEvent() async throws {
      try await body("event: end\ndata: {}\n\n")
      try await end()
    }
  }

  private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>
  typealias Handler = @Sendable (Request, Reply) async throws -> Void

  private let log = Mutex<[Request]>([])
  /// What came in, in order.
  var requests: [Request] { log.withLock { $0 } }

  /// Runs `body` with the address of a server that answers with `handler`.
  static func with<Result: Sendable>(
    _ handler: @escaping Handler, _ body: @escaping @Sendable (PeerGateway, Int) async throws -> Result
  ) async throws -> Result {
    let gateway = PeerGateway()
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: "127.0.0.1", port: 0) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          return try Connection(wrappingChannelSynchronously: channel)
        }
      }
    let port = server.channel.localAddress?.port ?? 0
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await server.executeThenClose { connections in
          try await withThrowingDiscardingTaskGroup { group in
            for try await connection in connections {
              group.addTask { try? await gateway.serve(connection, handler) }
            }
          }
        }
      }
      defer { group.cancelAll() }
      return try await body(gateway, port)
    }
  }

  /// Runs `body` with the address of a server that answers its first connection with the first of `answers`, byte for
  /// byte, and then closes it; the last of them is for all connections that are left.
  static func raw<Result>(_ answers: [String], _ body: (Int) async throws -> Result) async throws -> Result {
    let number = Mutex(0)
    let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        let index = number.withLock { count in
          defer { count += 1 }
          return min(count, answers.count - 1)
        }
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(RawAnswer(ByteBuffer(string: answers[index])))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    do {
      let result = try await body(server.localAddress?.port ?? 0)
      try await server.close()
      return result
    } catch {
      try? await server.close()
      throw error
    }
  }

  /// Waits for the request, so that closing does not take back what was sent.
  private final class RawAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ByteBuffer
    private var isDone = false

    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !isDone else { return }
      isDone = true
      context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
      context.close(promise: nil)
    }
  }

  private func serve(
    _ connection: Connection, _ handler: Handler
  ) async throws {
    try await connection.executeThenClose { inbound, outbound in
      var (head, bytes) = (HTTPRequestHead?.none, [UInt8]())
      for try await part in inbound {
        switch part {
        case .head(let next): (head, bytes) = (next, [])
        case .body(let buffer): bytes += buffer.readableBytesView
        case .end:
          guard let head else { continue }
          let request = Request(method: head.method, uri: head.uri, headers: head.headers, body: bytes)
          log.withLock { $0.append(request) }
          try await handler(request, Reply(writer: outbound))
        }
      }
    }
  }
}
