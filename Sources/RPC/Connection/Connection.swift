import HTTP2
import NIOCore

/// What both sides' connections have in common: bytes from the channel into the session, its events to the subclass,
/// and all output of a turn in one write.
///
/// `@unchecked Sendable`: calls hold it and tasks hold calls, but everything here runs on the channel's loop, which
/// `LoopRunner.turn` asserts.
class Connection: ChannelInboundHandler, TurnDelegate, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Bytes written in one turn before the loop gets to do something else.
  private static let bytesPerTurn = 512 * 1024

  let runner: LoopRunner
  let session: Session
  private(set) var peer = "unknown"
  private(set) var context: ChannelHandlerContext?
  private var needsFlush = false
  private var writeBuffer: WriteBuffer?
  /// Set when nothing more is to be said: the channel is closed once what is left has been written.
  var isClosing = false
  private(set) var isClosingChannel = false
  /// All was said, nobody was cut off, and what waits for the socket is still being written.
  private var isWritingRest = false
  /// Closing while the peer still sends would make the kernel throw away what was said last (RFC 1122 §4.2.2.13): what
  /// comes is read and dropped for this long, or until the peer has hung up too. Nil: no such care.
  ///
  /// For a peer that is cut off (`isClosing`) it begins at once. Any other has not read all that its calls were
  /// answered, perhaps: for that it begins when the peer's TCP has all of it. How long this may take is the subclass's
  /// to say, and to end.
  var lingering: TimeAmount?
  /// Whether the peer's TCP has not got all yet, while the connection lingers.
  private(set) var isOwedRest = false
  /// Closes a channel that takes too long to write what is left.
  private var lateness: Scheduled<Void>?
  /// Bytes handed to the channel so far.
  private(set) var writtenBytes = 0
  /// Bytes came since somebody set this to false.
  final var hasHeard = false

  final var loop: any EventLoop { runner.loop }

  init(session: Session, loop: any EventLoop) {
    self.session = session
    runner = LoopRunner(loop: loop)
    runner.delegate = self
  }

  // MARK: - For the subclass

  func activated() {}
  func handle(_ event: Event) {}
  /// After each read and write, what can be used to attack with.
  func watch(_ counts: FrameCounts, provoked: Int, sentFrames: Int) {}
  /// The session cannot go on.
  func failed(_ error: any Error) { isClosing = true }
  func writabilityChanged(_ isWritable: Bool) {}
  /// Nothing is left to do: the channel is closed once all is written.
  var isFinished: Bool { false }
  /// How long it may take to write what is left when nothing is left to do; nil: as long as the peer takes to read it.
  var closingTime: TimeAmount? { nil }
  /// More may come although the session, which sent or got a GOAWAY and has no streams, sees no need to go on.
  var outlivesSession: Bool { false }
  /// The channel reported an error, and is closed.
  func channelFailed(_ error: any Error) {}
  /// The channel is gone.
  func closed() {}
  /// The channel is gone, even if it never was active: its peer had left before it was registered.
  func removed() {}

  // MARK: - The channel

  final func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    writeBuffer = WriteBuffer.of(loop)
    if context.channel.isActive { channelActive(context: context) }
  }

  final func channelActive(context: ChannelHandlerContext) {
    if let address = context.remoteAddress, let host = address.ipAddress {
      peer = "\(host):\(address.port ?? 0)"
    } else if case .unixDomainSocket? = context.localAddress ?? context.remoteAddress {
      peer = "unix"
    }
    activated()
    touch()
  }

  final func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    hasHeard = true
    guard !isClosing, !isClosingChannel else { return }
    runner.hold()
    needsFlush = true
    do {
      try session.receive(unwrapInboundIn(data))
      handleEvents()
      watch()
    } catch {
      handleEvents()
      watch()  // a flood that nghttp2 gave up on has a name of its own
      failed(error)
    }
  }

  final func channelReadComplete(context: ChannelHandlerContext) { runner.turn() }

  final func channelWritabilityChanged(context: ChannelHandlerContext) {
    writabilityChanged(context.channel.isWritable)
    if context.channel.isWritable { touch() }
  }

  final func errorCaught(context: ChannelHandlerContext, error: any Error) {
    channelFailed(error)
    context.close(promise: nil)
  }

  final func channelInactive(context: ChannelHandlerContext) {
    lateness?.cancel()
    closed()
    runner.turn()  // not later: a read that ended the channel may have left the runner on hold
  }

  final func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    removed()
  }

  final func closeNow() { context?.close(promise: nil) }

  // MARK: - Turns

  /// A turn of the loop will write what there is to write.
  final func touch() {
    needsFlush = true
    runner.schedule()
  }

  final func turnEnded() -> Bool {
    guard needsFlush, let context else { return false }
    let begun = writtenBytes
    while needsFlush, context.channel.isWritable, writtenBytes - begun < Self.bytesPerTurn {
      needsFlush = false
      if let buffer = drain(context.channel.allocator) {
        writtenBytes += buffer.readableBytes
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        writeBuffer?.giveBack(buffer)
      }
      // Even where there was nothing to write: a stream that never left is closed when it would be its turn.
      handleEvents()
      watch()
    }
    let isOver = !session.isAlive && !outlivesSession
    let isFinished = isFinished
    if isClosing || isOver || (isFinished && !needsFlush) { closeWhenWritten(context) }
    if isClosingChannel || isFinished { closeInTime(context) }
    // The flush may have made the channel writable again at once: inside this turn its event cannot ask for another.
    return needsFlush && !isClosingChannel && context.channel.isWritable
  }

  /// A plain close would drop what the socket has not taken yet.
  private func closeWhenWritten(_ context: ChannelHandlerContext) {
    guard !isClosingChannel, isClosing || !isWritingRest else { return }
    let written = context.eventLoop.makePromise(of: Void.self)
    context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    let channel = context.channel
    guard let lingering else {
      isClosingChannel = true
      return written.futureResult.whenComplete { _ in channel.close(promise: nil) }
    }
    written.futureResult.whenFailure { _ in channel.close(promise: nil) }
    if isClosing {
      isClosingChannel = true
      written.futureResult.whenSuccess { self.endOutput(channel) }
      context.eventLoop.scheduleTask(in: lingering) { channel.close(promise: nil) }
    } else {
      // Until then the session goes on: it answers PINGs, and notices what it is attacked with.
      isWritingRest = true
      written.futureResult.whenSuccess {
        guard !self.isClosingChannel else { return }  // it was cut off meanwhile
        self.isClosingChannel = true
        self.endOutput(channel)
        self.linger(channel, lingering)
      }
    }
  }

  private func endOutput(_ channel: any Channel) {
    channel.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
  }

  /// What the kernel holds would be lost, too, if the channel were closed and the peer sent but a byte more.
  private func linger(_ channel: any Channel, _ time: TimeAmount) {
    isOwedRest = false
    TCPProgress.read(channel) { self.isOwedRest = $0.isOwed }  // on the loop: at once
    let goesOn = isOwedRest
    loop.scheduleTask(in: time) {
      if goesOn { self.linger(channel, time) } else { channel.close(promise: nil) }
    }
  }

  private func closeInTime(_ context: ChannelHandlerContext) {
    guard lateness == nil, let closingTime else { return }
    let channel = context.channel
    lateness = context.eventLoop.scheduleTask(in: closingTime) { channel.close(promise: nil) }
  }

  private func drain(_ allocator: ByteBufferAllocator) -> ByteBuffer? {
    let buffer = writeBuffer?.filled(allocator) { buffer in
      do {
        try session.drain(into: &buffer, limit: WriteBuffer.limit)
      } catch {
        isClosing = true
      }
    }
    guard let buffer, buffer.readableBytes > 0 else { return nil }
    if buffer.readableBytes >= WriteBuffer.limit { needsFlush = true }
    return buffer
  }

  private func watch() {
    watch(session.takeFrameCounts(), provoked: session.takeProvoked(), sentFrames: session.takeSentFrames())
  }

  private func handleEvents() {
    while true {
      let events = session.takeEvents()
      if events.isEmpty { return }
      for event in events { handle(event) }
      session.recycle(events)
    }
  }

  // MARK: - For calls

  final func resume(_ stream: Int32, _ output: StreamOutput) {
    session.resume(stream: stream, output: output)
    touch()
  }

  final func consume(_ stream: Int32, _ bytes: Int) {
    session.consume(stream: stream, bytes: bytes)
    touch()
  }

  /// Gives a stream up: whatever it still holds is dropped.
  final func reset(_ stream: Int32) {
    session.reset(stream: stream, code: .cancel)
    touch()
  }
}
