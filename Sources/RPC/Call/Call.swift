import HTTP2
import NIOCore

/// What the two sides of a call have in common: messages in, messages out, both with backpressure.
///
/// `@unchecked Sendable`: tasks hold calls and come from any thread, but every member is only touched on `loop`, except
/// by the async functions, which go there first.
class Call: @unchecked Sendable {
  /// Bytes a writer may run ahead of the peer's window; over it `write` suspends until half of it is left.
  static let highWater = 64 * 1024

  /// Bytes a reader on the loop takes, unpacked, before it lets others go first.
  static let readBytes = 256 * 1024
  /// What a message counts for beside its bytes, and what unpacking one does, which take time even of an empty one.
  static let readOverhead = 1024

  let loop: any EventLoop
  /// The longest message taken, in bytes.
  let limit: Int
  @exclusivity(unchecked) var deframer: Deframer
  /// Where our half of the stream goes. A client's exists before the stream does.
  @exclusivity(unchecked) var output: StreamOutput?
  @exclusivity(unchecked) private(set) var inbound = Inbound()
  @exclusivity(unchecked) private var writers: [Waiter<Void>] = []
  /// Bytes taken in that the peer has no window for again yet.
  @exclusivity(unchecked) private var uncredited = 0
  /// What a reader on the loop has taken since it last suspended.
  private var readSince = 0
  /// Bytes that nobody has taken, as they were last reported. Messages that came whole, and so within the window, are
  /// not: most calls need never be counted.
  @exclusivity(unchecked) private(set) var heldBytes = 0
  /// Why nothing more can be sent or received.
  @exclusivity(unchecked) private(set) var failure: (any Error)?
  /// How what comes in may be compressed. Set before the first message, then read from any thread.
  var encoding = Compression.none
  /// How `enqueue` compresses what goes out; nil: not at all, or it comes compressed.
  var outgoing: CompressionPolicy?

  init(loop: any EventLoop, limit: Int, isStreaming: Bool) {
    self.loop = loop
    self.limit = limit
    deframer = Deframer(limit: limit, copiesSmall: isStreaming)
  }

  /// What comes behind the messages in `deframer`, and who waits for them.
  struct Inbound {
    var end: Result<Void, any Error>?
    var reader: Waiter<ByteBuffer?>?
  }

  // MARK: - Overridden by the side

  /// Our output has more, or has ended.
  func outputChanged() {}
  /// The peer may send that many more bytes.
  func credit(_ bytes: Int) {}
  /// `heldBytes` changed.
  func heldChanged(by change: Int) {}
  /// Somebody waits for the rest of a message.
  func waitsForMessage() {}
  /// A task on the loop has read or unpacked so many bytes.
  func worked(_ bytes: Int) {}
  /// Runs `body` once the loop has done something else. On the loop.
  func giveWay(_ body: @escaping @Sendable () -> Void) { loop.execute(body) }
  /// A framing error in what the peer sent.
  func inboundFailed(_ status: Status) {}

  // MARK: - Receiving, on the loop

  final func received(_ chunk: ByteBuffer) {
    guard inbound.end == nil, failure == nil else { return credit(chunk.readableBytes) }
    uncredited += chunk.readableBytes
    do {
      try deframer.append(chunk)
    } catch {
      deliver()
      inboundFailed(Status(reporting: error))
      return
    }
    deliver()
    deframer.settle()
    if heldBytes != 0 || deframer.isInsideMessage { reportHeld() }
    creditIfIdle()
  }

  private func reportHeld() {
    let change = deframer.bufferedBytes - heldBytes
    heldBytes += change
    if change != 0 { heldChanged(by: change) }
  }

  /// Nobody will take what waits.
  final func dropUnread() {
    guard deframer.bufferedBytes > 0 else { return }
    deframer.removeAll()
    if heldBytes != 0 { reportHeld() }
  }

  /// Somebody waits for a message.
  final var isAwaited: Bool { inbound.reader.map { !$0.isDone } ?? false }

  /// The peer will send nothing more.
  final func receivedEnd() {
    guard inbound.end == nil else { return }
    if deframer.isInsideMessage {
      inboundFailed(.endedInsideMessage)
    } else {
      finishInbound(.success(()))
    }
  }

  final func finishInbound(_ end: Result<Void, any Error>) {
    guard inbound.end == nil else { return }
    inbound.end = end
    guard let reader = inbound.reader else { return }
    inbound.reader = nil
    reader.resume(end.map { ByteBuffer?.none })
  }

  /// The first message to the reader, if one waits. It takes the others as it comes for them.
  private func deliver() {
    guard let reader = inbound.reader, !reader.isDone, let message = deframer.next() else { return }
    inbound.reader = nil
    reader.resume(.success(message))
  }

  /// While no whole message waits, all bytes are credited: an incomplete one is bounded by the size limit. Once one
  /// waits nothing is, so the window bounds what a reader that does not read can pile up.
  private func creditIfIdle() {
    guard uncredited > 0, !deframer.hasMessage else { return }
    let bytes = uncredited
    uncredited = 0
    credit(bytes)
  }

  /// A whole message, if one waits.
  final func takeMessage() -> ByteBuffer? {
    guard let message = deframer.next() else { return nil }
    if !deframer.hasMessage {
      deframer.settle()
      if heldBytes != 0 { reportHeld() }
      creditIfIdle()
    } else if heldBytes != 0 {
      reportHeld()
    }
    return message
  }

  /// A message that came compressed was unpacked on this thread, as far as so many bytes.
  final func unpacked(_ bytes: Int) {
    guard loop.inEventLoop else { return }
    readSince += bytes + Self.readOverhead
    worked(bytes + Self.readOverhead)
  }

  /// The next message; nil at the end. One reader at a time.
  final func nextMessage() async throws -> ByteBuffer? {
    // Whatever waits is there at once, but one call's reader must not keep the loop until it has read all of it.
    if loop.inEventLoop, readSince < Self.readBytes {
      if let message = takeMessage() {
        readSince += message.readableBytes + Self.readOverhead
        return message
      }
      if let end = inbound.end { return try end.map { ByteBuffer?.none }.get() }
    }
    return try await loop.wait { waiter in
      guard self.readSince >= Self.readBytes else { return self.read(waiter) }
      self.stopped()
      // A continuation that is resumed at once would not even suspend its task.
      self.giveWay { if !waiter.isDone { self.read(waiter) } }
    }
  }

  private func read(_ waiter: Waiter<ByteBuffer?>) {
    if let message = takeMessage() {
      waiter.resume(.success(message))
    } else if let end = inbound.end {
      waiter.resume(end.map { ByteBuffer?.none })
    } else if let other = inbound.reader, !other.isDone {
      waiter.resume(.failure(Status(.internalError, "two tasks read from one stream")))
    } else {
      stopped()
      inbound.reader = waiter
      if heldBytes != 0 { waitsForMessage() }
    }
  }

  /// The reader suspends.
  private func stopped() {
    guard readSince > 0 else { return }
    worked(readSince)
    readSince = 0
  }

  // MARK: - Sending

  /// Sends a framed message; suspends while too much is waiting to go out.
  /// - Parameters:
  ///   - choice: Whether to compress it, where `outgoing` can; nil: if it pays.
  ///   - shared: Keeps the compressed form of a message that goes out on several calls.
  /// - Throws: Why the call is over, if it is.
  final func send(_ frame: ByteBuffer, _ choice: Bool? = nil, shared: CompressedFrame? = nil) async throws {
    if loop.inEventLoop, try enqueue(frame, choice, shared) { return }
    let isQueued = loop.inEventLoop
    try await loop.wait { waiter in
      do {
        let fits = isQueued ? self.hasRoom : try self.enqueue(frame, choice, shared)
        if let failure = self.failure { throw failure }
        if fits { waiter.resume(.success(())) } else { self.writers.append(waiter) }
      } catch {
        waiter.resume(.failure(error))
      }
    }
  }

  /// Whether a writer may go on.
  var hasRoom: Bool { (output?.bufferedBytes ?? 0) <= Self.highWater }

  /// - Returns: Whether there is room for more.
  func enqueue(_ frame: ByteBuffer, _ choice: Bool?, _ shared: CompressedFrame?) throws -> Bool {
    if let failure { throw failure }
    let output = try openOutput()
    if let outgoing {
      output.append(shared?.frame(of: frame, outgoing) ?? outgoing.apply(to: frame, choice))
    } else {
      output.append(frame)
    }
    outputChanged()
    if hasRoom { return true }
    output.drainMark = Self.highWater / 2
    return false
  }

  /// The output, opened if this is the first message.
  func openOutput() throws -> StreamOutput {
    if let output { return output }
    let created = StreamOutput()
    output = created
    return created
  }

  /// The session has taken in enough of the output.
  final func outputDrained() {
    let resumed = writers
    writers = []
    for writer in resumed { writer.resume(.success(())) }
  }

  /// Ends both directions for whoever waits or comes later.
  final func fail(_ error: any Error) {
    if failure == nil { failure = error }
    finishInbound(.failure(error))
    let waiting = writers
    writers = []
    for writer in waiting { writer.resume(.failure(error)) }
  }
}
