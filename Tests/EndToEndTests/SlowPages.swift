import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A web server on loopback that answers when it is told to.
final class SlowPages: Sendable {
  private struct State {
    var asked = 0
    var waiting: [any Channel] = []
  }

  private let state = Mutex(State())
  private let channel = Mutex<(any Channel)?>(nil)

  init() async throws {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.pipeline.configureHTTPServerPipeline().flatMap {
          channel.pipeline.addHandler(Handler { [weak self] in self?.take($0) })
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    self.channel.withLock { $0 = channel }
  }

  deinit { channel.withLock { $0 }?.close(promise: nil) }

  func url(_ name: String) -> String {
    "http://127.0.0.1:\(channel.withLock { $0?.localAddress?.port } ?? 0)/\(name)"
  }

  /// How many times it was asked for a page.
  var asked: Int { state.withLock { $0.asked } }

  /// Answers those who have waited longest, up to this many.
  func answer(_ count: Int) {
    let waiting = state.withLock { state in
      let waiting = state.waiting.prefix(count)
      state.waiting.removeFirst(waiting.count)
      return waiting
    }
    let page = "<html><head><title>A page</title></head><body><p>Hello.</p></body></html>"
    for channel in waiting {
      let head = HTTPResponseHead(
        version: .http1_1, status: .ok,
        headers: ["content-type": "text/html; charset=utf-8", "content-length": "\(page.utf8.count)"])
      channel.write(HTTPServerResponsePart.head(head), promise: nil)
      channel.write(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(string: page))), promise: nil)
      channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }
  }

  private func take(_ channel: any Channel) {
    state.withLock { state in
      state.asked += 1
      state.waiting.append(channel)
    }
  }

  private final class Handler: ChannelInboundHandler, Sendable {
    typealias InboundIn = HTTPServerRequestPart

    private let asked: @Sendable (any Channel) -> Void

    init(asked: @escaping @Sendable (any Channel) -> Void) {
      self.asked = asked
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if case .end = unwrapInboundIn(data) { asked(context.channel) }
    }
  }
}
