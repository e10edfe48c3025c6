import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import RPC
import TestSupport

/// A peer that can say anything: a socket, and an HTTP/2 session for those bytes that are to be right.
final class RawPeer {
  private let channel: any Channel
  private let received: Received
  private let session: Session
  private var events: [Event] = []
  private var taken = 0

  /// Collects what the server sends.
  private final class Received: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    let bytes = NIOLockedValueBox<[UInt8]>([])

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let buffer = unwrapInboundIn(data)
      bytes.withLockedValue { $0 += buffer.readableBytesView }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  private init(channel: any Channel, received: Received, window: Int) throws {
    self.channel = channel
    self.received = received
    var configuration = Session.Configuration()
    configuration.streamWindow = window
    configuration.connectionWindow = max(window, configuration.connectionWindow)
    session = try Session(.client, configuration: configuration)
  }

  /// - Parameters:
  ///   - reads: False for a peer that never takes a byte from its socket.
  ///   - window: What it lets the server send.
  static func connect(to address: BoundAddress, reads: Bool = true, window: Int = 256 * 1024) async throws -> RawPeer {
    let received = Received()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: reads)
      .channelInitializer { $0.pipeline.addHandler(received) }
      .connect(host: address.host, port: address.port).get()
    return try RawPeer(channel: channel, received: received, window: window)
  }

  // MARK: - Saying things

  func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

  /// What the session would send now: the first time, with the preface.
  func sessionBytes() throws -> [UInt8] {
    var buffer = ByteBuffer()
    try session.drain(into: &buffer, limit: .max)
    return Array(buffer.readableBytesView)
  }

  func flush() throws { send(try sessionBytes()) }

  /// A gRPC request; `end` false leaves it open.
  func request(
    path: String, body: [UInt8], extra: Metadata = [:], method: String = "POST",
    contentType: String? = "application/grpc", end: Bool = true, flush: Bool = true
  ) throws -> Int32 {
    var headers: HeaderBlock = [":method": method, ":scheme": "http", ":authority": "raw", ":path": path]
    headers.append("te", "trailers")
    if let contentType { headers.append("content-type", contentType) }
    for (name, value) in extra { headers.append(name, value) }
    let output = StreamOutput()
    output.append(ByteBuffer(bytes: body))
    if end { output.end() }
    let stream = try session.request(headers: headers, output: output)
    if flush { try self.flush() }
    return stream
  }

  /// Gives the stream's window back for bytes that have come.
  func consume(_ stream: Int32, bytes: Int) throws {
    session.consume(stream: stream, bytes: bytes)
    try flush()
  }

  /// The text of the one message that has come on a stream.
  func body(_ stream: Int32) throws -> String {
    var body = ByteBuffer()
    for case .data(stream, let chunk) in try readEvents() { body.writeImmutableBuffer(chunk) }
    return String(buffer: body).dropFirst(5).description
  }

  /// Body bytes that have come on a stream.
  func bodyBytes(_ stream: Int32) throws -> Int {
    try readEvents().reduce(0) { sum, event in
      if case .data(stream, let chunk) = event { sum + chunk.readableBytes } else { sum }
    }
  }

  func reset(_ stream: Int32) throws {
    session.reset(stream: stream, code: .cancel)
    try flush()
  }

  /// A message with gRPC's prefix.
  func frame(_ text: String, flag: UInt8 = 0) -> [UInt8] {
    let bytes = Array(text.utf8)
    return [flag, UInt8(bytes.count >> 24), UInt8(bytes.count >> 16 & 0xFF), UInt8(bytes.count >> 8 & 0xFF),
      UInt8(bytes.count & 0xFF)] + bytes
  }

  /// An HTTP/2 frame, right or wrong.
  static func frame(_ type: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let id = UInt32(bitPattern: stream)
    let length = payload.count
    return [UInt8(length >> 16 & 0xFF), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, flags]
      + [UInt8(id >> 24), UInt8(id >> 16 & 0xFF), UInt8(id >> 8 & 0xFF), UInt8(id & 0xFF)] + payload
  }

  // MARK: - Hearing things

  private func readEvents() throws -> [Event] {
    let all = received.bytes.withLockedValue { $0 }
    if all.count > taken {
      try session.receive(ByteBuffer(bytes: all[taken...]))
      taken = all.count
      events += session.takeEvents()
      try flush()
    }
    return events
  }

  /// The headers that end a stream, which are its only ones if there was no message.
  func trailers(_ stream: Int32) async throws -> HeaderBlock {
    var found: HeaderBlock?
    try await eventually("trailers of stream \(stream)") {
      for case .headers(let headers) in try readEvents() where headers.stream == stream && headers.endStream {
        found = headers.block
      }
      return found != nil
    }
    return found ?? [:]
  }

  /// The first headers of a stream.
  func head(_ stream: Int32) async throws -> HeaderBlock {
    var found: HeaderBlock?
    try await eventually("headers of stream \(stream)") {
      for case .headers(let headers) in try readEvents() where headers.stream == stream {
        found = found ?? headers.block
      }
      return found != nil
    }
    return found ?? [:]
  }

  /// Headers and body of a stream, once it has ended.
  func response(_ stream: Int32) async throws -> (head: HeaderBlock, body: String) {
    var head = HeaderBlock()
    var body = ByteBuffer()
    try await eventually("the end of stream \(stream)") {
      try readEvents().contains { if case .end(stream) = $0 { true } else { false } }
    }
    for event in events {
      switch event {
      case .headers(let headers) where headers.stream == stream: head = headers.block
      case .data(stream, let chunk): body.writeImmutableBuffer(chunk)
      default: break
      }
    }
    return (head, String(buffer: body))
  }

  /// Waits for the server to hang up; the GOAWAY it sent before, if any.
  func goAwayAndClose() async throws -> (code: UInt32, reason: String)? {
    try await channel.closeFuture.get()
    return goAwayFrames.first.map { ($0.code, $0.reason) }
  }

  /// Read without the session: what was sent raw may have left it in no state to go on, and after a GOAWAY, with no
  /// stream open, nghttp2 looks at nothing any more.
  private var frames: [(type: UInt8, flags: UInt8, payload: ByteBuffer)] {
    var rest = ByteBuffer(bytes: received.bytes.withLockedValue { $0 })
    var found: [(type: UInt8, flags: UInt8, payload: ByteBuffer)] = []
    while let head = rest.readBytes(length: 9) {
      let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      guard let payload = rest.readSlice(length: length) else { break }
      found.append((head[3], head[4], payload))
    }
    return found
  }

  private var goAwayFrames: [(last: Int32, code: UInt32, reason: String)] {
    frames.compactMap { frame in
      var payload = frame.payload
      guard frame.type == 7, let (last, code) = payload.readMultipleIntegers(as: (Int32, UInt32).self) else {
        return nil
      }
      return (last, code, String(buffer: payload))
    }
  }

  /// The PINGs that the server has sent. Answers them, and what else has come.
  func pings() throws -> Int {
    _ = try readEvents()
    return frames.count { $0.type == 6 && $0.flags & 1 == 0 }
  }

  /// How many bytes the server has sent, read or not.
  var receivedBytes: Int { received.bytes.withLockedValue { $0.count } }

  /// The GOAWAYs so far: the last stream that each one lets live. Answers what else has come.
  func goAways() throws -> [Int32] {
    _ = try readEvents()
    return goAwayFrames.map(\.last)
  }

  var isOpen: Bool { channel.isActive }

  func close() async { try? await channel.close() }
}
