import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A small HTTP/1.1 server on loopback with fixed answers, for fetch tests.
final class PageServer: Sendable {
  struct Answer: Sendable {
    var status = HTTPResponseStatus.ok
    var headers: HTTPHeaders = ["content-type": "text/html; charset=utf-8"]
    var body: [UInt8] = []
    /// Sent again and again until the client has had enough.
    var endless = false
    /// Nothing is ever answered.
    var silent = false

    static func html(_ text: String) -> Answer { Answer(body: Array(text.utf8)) }
    static func redirect(_ location: String) -> Answer { Answer(status: .found, headers: ["location": location]) }
  }

  private let channel: any Channel

  var port: Int { channel.localAddress?.port ?? 0 }
  func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }
  /// How many connections have ended.
  var closed: Int { recorder.closed.load(ordering: .acquiring) }
  func requests(_ path: String) -> Int { recorder.counts.withLock { $0[path] ?? 0 } }

  private let recorder: Recorder

  fileprivate final class Recorder: Sendable {
    let counts = Mutex<[String: Int]>([:])
    let closed = Atomic(0)
  }

  private init(channel: any Channel, recorder: Recorder) {
    self.channel = channel
    self.recorder = recorder
  }

  /// Runs the server for the length of `body`.
  static func run<T: Sendable>(
    _ answers: [String: Answer], _ body: (PageServer) async throws -> T
  ) async throws -> T {
    let recorder = Recorder()
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.pipeline.configureHTTPServerPipeline().flatMap {
          channel.pipeline.addHandler(Handler(answers: answers, recorder: recorder))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let server = PageServer(channel: channel, recorder: recorder)
    do {
      let result = try await body(server)
      try await channel.close()
      return result
    } catch {
      try? await channel.close()
      throw error
    }
  }

  private final class Handler: ChannelInboundHandler, Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answers: [String: Answer]
    private let recorder: Recorder

    init(answers: [String: Answer], recorder: Recorder) {
      self.answers = answers
      self.recorder = recorder
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(let head) = unwrapInboundIn(data) else { return }
      recorder.counts.withLock { $0[head.uri, default: 0] += 1 }
      let answer = answers[head.uri] ?? Answer(status: .notFound)
      if answer.silent { return }
      var headers = answer.headers
      if !answer.endless { headers.replaceOrAdd(name: "content-length", value: String(answer.body.count)) }
      context.write(
        wrapOutboundOut(.head(.init(version: .http1_1, status: answer.status, headers: headers))), promise: nil)
      if answer.endless { return pour(context.channel, ByteBuffer(bytes: answer.body)) }
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: answer.body)))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { recorder.closed.add(1, ordering: .releasing) }

    private func pour(_ channel: any Channel, _ chunk: ByteBuffer) {
      channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(chunk))).whenSuccess { self.pour(channel, chunk) }
    }
  }
}
