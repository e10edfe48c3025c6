import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A server of frames: it says what it is told to each request, right or wrong.
struct FrameServer {
  let channel: any Channel
  private let shared: Shared
  var port: Int { channel.localAddress?.port ?? 0 }

  /// Told what arrived: a request's headers, a chunk of its body, its end. What it returns is written as it stands.
  typealias Answer = @Sendable (Session, Event) throws -> [UInt8]?

  /// What it does before any request.
  struct Manners: Sendable {
    /// Streams that one connection may have open.
    var streams = 100
    /// The bytes that a client may send on one stream, and on the connection.
    var windows = 256 * 1024
    /// Connections that are closed as soon as they are accepted: their numbers, from 1.
    var refused: Set<Int> = []
    /// Connections that hear nothing, not even SETTINGS, until `perform`.
    var silent: Set<Int> = []
    /// Stops to read after the first request's headers.
    var stopsReading = false
    /// Adds handlers in front.
    var prepare: @Sendable (any Channel) throws -> Void = { _ in }
  }

  private final class Shared: Sendable {
    let handlers = NIOLockedValueBox<[Handler]>([])
    let pings = NIOLockedValueBox(0)
  }

  /// Connections accepted so far.
  var connections: Int { shared.handlers.withLockedValue { $0.count } }
  /// PINGs received so far.
  var pings: Int { shared.pings.withLockedValue { $0 } }

  /// `@unchecked Sendable`: each instance serves one channel, on its loop.
  private final class Handler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    let session: Session
    let answer: Answer
    let shared: Shared
    let manners: Manners
    let channel: any Channel
    private var isSilent = false

    init(_ channel: any Channel, _ manners: Manners, _ shared: Shared, _ answer: @escaping Answer) throws {
      var configuration = Session.Configuration()
      configuration.maximumStreams = manners.streams
      configuration.streamWindow = manners.windows
      configuration.connectionWindow = manners.windows
      session = try Session(.server, configuration: configuration)
      (self.channel, self.manners, self.shared, self.answer) = (channel, manners, shared, answer)
    }

    func channelActive(context: ChannelHandlerContext) {
      let number = shared.handlers.withLockedValue { handlers in
        handlers.append(self)
        return handlers.count
      }
      isSilent = manners.silent.contains(number)
      if manners.refused.contains(number) { context.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      do {
        try session.receive(unwrapInboundIn(data))
        let pings = session.takeFrameCounts().pings
        shared.pings.withLockedValue { $0 += pings }
        var raw: [UInt8] = []
        for event in session.takeEvents() {
          if case .headers = event, manners.stopsReading { _ = channel.setOption(.autoRead, value: false) }
          raw += try answer(session, event) ?? []
        }
        if !isSilent { try write(raw) }
      } catch {
        context.close(promise: nil)
      }
    }

    func perform(_ body: (Session) throws -> Void) throws {
      isSilent = false
      try body(session)
      if channel.isActive { try write([]) }
    }

    private func write(_ raw: [UInt8]) throws {
      var buffer = ByteBuffer()
      try session.drain(into: &buffer, limit: .max)
      buffer.writeBytes(raw)
      channel.writeAndFlush(buffer, promise: nil)
      if !session.isAlive { channel.close(promise: nil) }
    }
  }

  static func start(_ manners: Manners = .init(), _ answer: @escaping Answer) async throws -> FrameServer {
    let shared = Shared()
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try manners.prepare(channel)
          try channel.pipeline.syncOperations.addHandler(Handler(channel, manners, shared, answer))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return FrameServer(channel: channel, shared: shared)
  }

  /// Does something with a connection's session, and writes what comes of it.
  /// - Parameter number: From 1, as they were accepted.
  func perform(on number: Int, _ body: @escaping @Sendable (Session) throws -> Void = { _ in }) async throws {
    let handler = shared.handlers.withLockedValue { $0[number - 1] }
    try await handler.channel.eventLoop.submit { try handler.perform(body) }.get()
  }

  func isOpen(_ number: Int) -> Bool { shared.handlers.withLockedValue { $0[number - 1].channel.isActive } }

  /// Closes a connection without a word.
  func hangUp(on number: Int) async throws {
    try await shared.handlers.withLockedValue { $0[number - 1] }.channel.close()
  }

  func stop() async {
    try? await channel.close()
    for handler in shared.handlers.withLockedValue({ $0 }) { try? await handler.channel.close() }
  }
}

extension Session {
  /// One message and OK.
  func answer(_ stream: Int32, _ text: String) throws {
    let output = StreamOutput()
    var body = ByteBuffer()
    body.writeInteger(UInt8(0))
    body.writeInteger(UInt32(text.utf8.count))
    body.writeString(text)
    output.append(body)
    output.end(trailers: ["grpc-status": "0"])
    try respond(stream: stream, headers: [":status": "200", "content-type": "application/grpc"], output: output)
  }
}
