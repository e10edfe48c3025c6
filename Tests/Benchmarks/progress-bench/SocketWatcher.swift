import NIOCore
import NIOPosix
import RPC

/// A WebSocket client reduced to what the measurement needs: it shakes hands, subscribes, and finds each event's
/// number. What a browser would do with an event is not the gateway's time.
final class SocketWatcher: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let mission: String
  private let recorder: Recorder?
  private var received = ByteBuffer()
  private var isOpen = false
  private var last: UInt64 = 0

  /// - Parameter recorder: Is told what comes; nil for one that does not read.
  init(mission: String, recorder: Recorder?) {
    self.mission = mission
    self.recorder = recorder
  }

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(Self.handshake), promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    received.writeBuffer(&bytes)
    if !isOpen { open(context) }
    guard isOpen else { return }
    let now = ContinuousClock.now
    while let frame = received.readServerFrame() { take(frame, now, context) }
    received.discardReadBytes()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func open(_ context: ChannelHandlerContext) {
    let end = Array("\r\n\r\n".utf8)
    guard let range = received.readableBytesView.firstRange(of: end) else { return }
    guard received.readableBytesView.starts(with: "HTTP/1.1 101".utf8) else {
      print("the gateway refused: \(String(buffer: received).prefix(200))")
      return context.close(promise: nil)
    }
    received.moveReaderIndex(to: range.upperBound)
    isOpen = true
    let wish = ByteBuffer(string: "{\"op\":\"subscribe\",\"id\":\"a\",\"missionId\":\"\(mission)\"}")
    context.writeAndFlush(wrapOutboundOut(Self.frame(0x81, wish)), promise: nil)
    if recorder == nil { context.channel.setOption(.autoRead, value: false).whenFailure { _ in } }
  }

  private func take(
    _ frame: (opcode: UInt8, data: ByteBuffer), _ now: ContinuousClock.Instant, _ context: ChannelHandlerContext
  ) {
    switch frame.opcode {
    case 0x1:
      guard let sequence = frame.data.sequence else { return }
      if sequence != last + 1 { print("event \(sequence) came after \(last)") }
      last = sequence
      recorder?.saw(sequence, at: now)
    case 0x9: context.writeAndFlush(wrapOutboundOut(Self.frame(0x8A, frame.data)), promise: nil)
    default: break
    }
  }

  private static let handshake = ByteBuffer(
    string: "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

  /// A frame of at most 125 bytes, masked with zeros.
  private static func frame(_ first: UInt8, _ data: ByteBuffer) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.writeMultipleIntegers(first, 0x80 | UInt8(data.readableBytes), UInt32(0))
    frame.writeImmutableBuffer(data)
    return frame
  }
}

/// A watcher that asks for events and never reads them, with little room in its socket.
struct StuckWatcher {
  private let channel: any Channel

  init(mission: String, port: Int, group: MultiThreadedEventLoopGroup) async throws {
    channel = try await ClientBootstrap(group: group)
      .channelOption(.socketOption(.so_rcvbuf), value: 4096)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(SocketWatcher(mission: mission, recorder: nil))
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
  }

  func close() async throws { try await channel.close() }
}

extension ByteBuffer {
  /// The next whole frame of a server, which masks none; nil while it is not there.
  fileprivate mutating func readServerFrame() -> (opcode: UInt8, data: ByteBuffer)? {
    guard let first: UInt8 = getInteger(at: readerIndex), let short: UInt8 = getInteger(at: readerIndex + 1)
    else { return nil }
    var (header, length) = (2, Int(short & 0x7F))
    if length == 126 {
      guard let long: UInt16 = getInteger(at: readerIndex + 2) else { return nil }
      (header, length) = (4, Int(long))
    } else if length == 127 {
      guard let long: UInt64 = getInteger(at: readerIndex + 2) else { return nil }
      (header, length) = (10, Int(long))
    }
    guard readableBytes >= header + length else { return nil }
    moveReaderIndex(forwardBy: header)
    return readSlice(length: length).map { (first & 0x0F, $0) }
  }

  /// The number behind the first `"sequence":"`.
  fileprivate var sequence: UInt64? {
    guard let range = readableBytesView.prefix(200).firstRange(of: "\"sequence\":\"".utf8) else { return nil }
    var number: UInt64 = 0
    for byte in readableBytesView[range.upperBound...] {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { break }
      number = number * 10 + UInt64(byte - UInt8(ascii: "0"))
    }
    return number
  }
}
