import HTTP2
import NIOCore

/// One call at the client: from its request headers to its status. See `Call` for which thread may touch what.
final class ClientCall: Call, NIOScheduledCallbackHandler, @unchecked Sendable {
  let path: String
  let metadata: Metadata
  let deadline: Deadline?
  let waitsForReady: Bool
  /// Of the requests.
  let compression: CompressionPolicy
  private let acceptsCompressed: Bool
  /// The framed request, where it is one message: it can be sent again if the server never processed it.
  private let request: ByteBuffer?
  private let hasOneResponse: Bool

  weak var connection: ClientConnection?
  var stream: Int32 = 0
  /// Where the call waits for a connection, while it does.
  var queued: (channel: ClientChannel, place: Int)?
  private var timer: NIOScheduledCallback?
  /// What of a request of several messages was sent, as long as it may have to be sent again.
  private var replay: ReplayBuffer?
  private var mustReplay = false
  /// The server has refused it once.
  private var wasRefused = false
  /// Makes the attempts where a policy allows several: until it is committed to one, this call has no stream.
  var attempts: AttemptRunner?
  /// Where it has to be let through limits before it is sent.
  var admission: CallAdmission?
  /// Set where this is such an attempt.
  var attempt: Attempt?
  var previousAttempts = 0
  var status: Status?
  private(set) var initial: HeaderBlock?
  var awaitingInitial: [Waiter<Metadata>] = []
  private var awaitingResponse: UnsafeContinuation<ByteBuffer, any Error>?
  /// Where there is one.
  private var response: ByteBuffer?
  private(set) var responseWasCompressed = false
  /// Wait for the status; the last one is told first.
  private var ends: [CallEnd]

  private var producer: Task<Void, Never>?

  var isOver: Bool { status != nil }

  /// - Parameters:
  ///   - request: The framed request, where it is one message.
  ///   - replay: Where to keep a request of several messages.
  ///   - responseLimit: `ClientOptions.maximumResponseBytes`, or less.
  init(
    channel: ClientChannel, path: String, options: CallOptions, request: ByteBuffer?, hasOneResponse: Bool,
    ends: [CallEnd] = [], replay: ReplayBuffer? = nil, responseLimit: Int? = nil
  ) {
    self.path = path
    self.ends = ends
    let policy = CompressionPolicy(
      algorithm: options.compression ?? channel.options.compression,
      threshold: channel.options.compressionThreshold)
    acceptsCompressed = channel.options.acceptsCompressed
    // Here, in the caller's task: the loop has other calls to serve.
    self.request = request.map { policy.apply(to: $0, nil) }
    compression = policy
    self.hasOneResponse = hasOneResponse
    self.replay = replay
    metadata = options.metadata
    deadline = options.effectiveDeadline
    waitsForReady = options.waitForReady
    super.init(
      loop: channel.loop, limit: responseLimit ?? channel.options.maximumResponseBytes, isStreaming: !hasOneResponse)
    output = StreamOutput()
  }

  // MARK: - The attempt

  /// The call has arrived at its loop.
  /// - Parameter continuation: Gets the one response, where there is one.
  func arrived(_ continuation: UnsafeContinuation<ByteBuffer, any Error>?) {
    if let continuation { expectResponse(continuation) }
    if let deadline, deadline != .never, !isOver, attempt == nil {
      timer = try? loop.scheduleCallback(at: deadline.moment, handler: self)  // fails on a loop that has ended
    }
  }

  func expectResponse(_ continuation: UnsafeContinuation<ByteBuffer, any Error>) {
    awaitingResponse = continuation
    if status != nil { deliverResponse() }
  }

  /// Gets ready to be sent, the first time or again.
  func prepareAttempt() -> StreamOutput {
    let output: StreamOutput
    if let request {
      output = StreamOutput()
      output.append(request)
      output.end()
    } else if let attempt {
      output = attempt.runner.output()
    } else {
      output = preparedStream()
    }
    self.output = output
    return output
  }

  private func preparedStream() -> StreamOutput {
    let current = output ?? StreamOutput()
    guard mustReplay, let replay else { return current }
    mustReplay = false
    let output = replay.output()
    output.drainMark = current.drainMark
    return output
  }

  /// The request ends here.
  func halfClose() {
    if let attempts { return attempts.halfClose() }
    guard let output, !output.isEnded else { return }
    replay?.isEnded = true
    output.end()
    outputChanged()
  }

  override func outputChanged() {
    guard let output, stream != 0 else { return }
    connection?.resume(stream, output)
  }

  override func credit(_ bytes: Int) { connection?.consume(stream, bytes) }

  override func inboundFailed(_ status: Status) { finish(status, reset: true) }

  // MARK: - The response

  func receivedHeaders(_ headers: Event.Headers) {
    guard !isOver else { return }
    let head = ResponseHead(headers, acceptsCompressed: acceptsCompressed)
    // What is no answer of gRPC's is the end of an attempt, even where a page follows it.
    if let attempt, case .open = head { return attempt.runner.answered(attempt.number, headers) }
    switch head {
    case .informational: break
    case .open(let encoding):
      expectEncoded(encoding)
      initial = headers.block
      if replay != nil { dropReplay() }
      if previousAttempts > 0 { initial?.append(AttemptRunner.countName, String(previousAttempts)) }
      let waiting = awaitingInitial
      awaitingInitial = []
      for waiter in waiting { waiter.resume(initialResult) }
    case .over(var status):
      if status.code == .ok, deframer.isInsideMessage { status = .endedInsideMessage }
      // The server is done; if we are not, nobody reads the rest.
      finish(status, reset: !headers.endStream || output?.isEnded != true || output?.bufferedBytes != 0)
    }
  }

  func receivedData(_ chunk: ByteBuffer) {
    guard !isOver else { return }
    received(chunk)
    // At once: with a message waiting no more window is given, so the end of the stream may never come.
    if hasOneResponse, deframer.hasMoreThanOneMessage, !isOver { finish(.moreThanOneResponse, reset: true) }
  }

  /// The stream is gone.
  /// - Returns: Whether the server certainly did not process the call, and it may be sent again.
  func streamClosed(code: UInt32) -> Bool {
    guard !isOver else { return false }
    if code == ErrorCode.refusedStream.rawValue, initial == nil { return streamRefused() }
    stream = 0
    if code == ErrorCode.noError.rawValue {
      finish(Status(.internalError, "the server ended the call without a status"))
    } else if code == ErrorCode.cancel.rawValue, deadline?.isExpired == true {
      finish(Status(.deadlineExceeded, "the deadline passed"))
    } else {
      finish(Status(Status.Code(resetCode: code), "the stream was reset with HTTP/2 error code \(code)"))
    }
    return false
  }

  /// The server did not look at the call: a stream that never left is sent again without limit, one that the server
  /// refused once (gRFC A6, "Transparent Retries").
  private func streamRefused() -> Bool {
    let neverLeft = connection.map { $0.session.lastSentStream < stream } ?? false
    stream = 0
    if let attempt {
      self.attempt = nil
      status = .refusedStream
      attempt.runner.refused(attempt.number, neverLeft: neverLeft)
      return false
    }
    if neverLeft { return true }  // with its output as it is: nothing was taken from it
    guard request != nil || replay != nil, !wasRefused else {
      finish(.refusedStream)
      return false
    }
    wasRefused = true
    mustReplay = true
    return true
  }

  /// The requests come from this task: it ends with the call.
  func producing(in task: Task<Void, Never>) {
    if isOver { task.cancel() } else { producer = task }
  }

  func finish(_ status: Status, reset: Bool = false) {
    guard !isOver else { return }
    if let attempt { return finish(attempt, status, reset: reset) }
    if let attempts {
      self.attempts = nil
      attempts.callEnded()
    }
    if replay != nil { dropReplay() }
    let status = status.code == .ok && hasOneResponse ? takeResponse() ?? status : status
    self.status = status
    leaveQueue()
    for end in ends.reversed() { end(status) }
    ends = []
    producer?.cancel()
    producer = nil
    timer?.cancel()
    timer = nil
    if reset { resetStream() }
    if status.code == .ok { finishInbound(.success(())) }
    fail(status.code == .ok ? CancellationError() : status)
    let waiting = awaitingInitial
    awaitingInitial = []
    for waiter in waiting { waiter.resume(initialResult) }
    deliverResponse()
  }

  /// Waits for a connection no longer, if it did.
  func leaveQueue() {
    if let queued { queued.channel.leftQueue(self, queued.place) }
  }

  func resetStream() {
    guard stream != 0 else { return }
    output?.discard()
    connection?.reset(stream)
  }

  /// Keeps the one response.
  /// - Returns: Why the call failed after all, if there is none that can be used.
  private func takeResponse() -> Status? {
    guard let frame = takeMessage() else { return Status(.internalError, "the server sent no response") }
    do {
      response = try unpack(frame, &responseWasCompressed)
    } catch {
      return Status(reporting: error)
    }
    return nil
  }

  private func deliverResponse() {
    guard let continuation = awaitingResponse, let status else { return }
    awaitingResponse = nil
    if status.code == .ok, let response {
      self.response = nil
      continuation.resume(returning: response)
    } else {
      continuation.resume(throwing: status)
    }
  }

  // MARK: - The deadline, and cancellation

  func handleScheduledCallback(eventLoop: some EventLoop) {
    timer = nil
    finish(Status(.deadlineExceeded, attempts?.lateness ?? "the deadline passed"), reset: true)
  }

  func didCancelScheduledCallback(eventLoop: some EventLoop) {}

  /// From any thread.
  func cancel() {
    loop.execute { self.finish(.cancelled, reset: true) }
  }

  // MARK: - Several attempts

  /// Keeps the message where it may have to be sent again.
  override func enqueue(_ frame: ByteBuffer, _ choice: Bool?, _ shared: CompressedFrame?) throws -> Bool {
    if let attempts {
      if let failure { throw failure }
      attempts.append(frame)
      return hasRoom
    }
    if replay != nil, replay?.append(frame) == false { dropReplay() }
    return try super.enqueue(frame, choice, shared)
  }

  override var hasRoom: Bool { attempts?.hasRoom ?? super.hasRoom }

  private func dropReplay() {
    replay?.release()
    replay = nil
  }
}
