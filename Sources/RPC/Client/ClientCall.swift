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
  private var timer: NIOScheduledCallback?
  private var attempts = 0
  private(set) var status: Status?
  private var initial: HeaderBlock?
  private var awaitingInitial: [Waiter<Metadata>] = []
  private var awaitingResponse: UnsafeContinuation<ByteBuffer, any Error>?
  /// Where there is one.
  private var response: ByteBuffer?
  private(set) var responseWasCompressed = false
  /// Wait for the status; the last one is told first.
  private var ends: [CallEnd]

  private var producer: Task<Void, Never>?

  var isOver: Bool { status != nil }

  init(
    channel: ClientChannel, path: String, options: CallOptions, request: ByteBuffer?, hasOneResponse: Bool,
    ends: [CallEnd] = []
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
    metadata = options.metadata
    deadline = options.effectiveDeadline
    waitsForReady = options.waitForReady
    super.init(loop: channel.loop, limit: channel.options.maximumResponseBytes, isStreaming: !hasOneResponse)
    output = StreamOutput()
  }

  // MARK: - The attempt

  /// The call has arrived at its loop.
  /// - Parameter continuation: Gets the one response, where there is one.
  func arrived(_ continuation: UnsafeContinuation<ByteBuffer, any Error>?) {
    if let continuation { expectResponse(continuation) }
    if let deadline, deadline != .never, !isOver {
      timer = try? loop.scheduleCallback(at: deadline.moment, handler: self)  // fails on a loop that has ended
    }
  }

  func expectResponse(_ continuation: UnsafeContinuation<ByteBuffer, any Error>) {
    awaitingResponse = continuation
    if status != nil { deliverResponse() }
  }

  /// Gets ready to be sent, the first time or again.
  func prepareAttempt() -> StreamOutput {
    attempts += 1
    guard let request else {
      let output = output ?? StreamOutput()
      self.output = output
      return output
    }
    let output = StreamOutput()
    output.append(request)
    output.end()
    self.output = output
    return output
  }

  /// The request ends here.
  func halfClose() {
    guard let output, !output.isEnded else { return }
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
    switch ResponseHead(headers, acceptsCompressed: acceptsCompressed) {
    case .informational: break
    case .open(let encoding):
      expectEncoded(encoding)
      initial = headers.block
      let waiting = awaitingInitial
      awaitingInitial = []
      for waiter in waiting { waiter.resume(.success(Metadata(headers.block))) }
    case .over(let status):
      // The server is done; if we are not, nobody reads the rest.
      finish(status, reset: !headers.endStream || output?.isEnded != true || output?.bufferedBytes != 0)
    }
  }

  /// The stream is gone.
  /// - Returns: Whether the server certainly did not process the call, and it may be sent again.
  func streamClosed(code: UInt32) -> Bool {
    guard !isOver else { return false }
    stream = 0
    if code == ErrorCode.refusedStream.rawValue, request != nil, attempts < 3 { return true }
    if code == ErrorCode.noError.rawValue {
      finish(Status(.internalError, "the server ended the call without a status"))
    } else if code == ErrorCode.cancel.rawValue, deadline?.isExpired == true {
      finish(Status(.deadlineExceeded, "the deadline passed"))
    } else {
      finish(Status(Status.Code(resetCode: code), "the stream was reset with HTTP/2 error code \(code)"))
    }
    return false
  }

  /// The requests come from this task: it ends with the call.
  func producing(in task: Task<Void, Never>) {
    if isOver { task.cancel() } else { producer = task }
  }

  func finish(_ status: Status, reset: Bool = false) {
    guard !isOver else { return }
    let status = status.code == .ok && hasOneResponse ? takeResponse() ?? status : status
    self.status = status
    for end in ends.reversed() { end(status) }
    ends = []
    producer?.cancel()
    producer = nil
    timer?.cancel()
    timer = nil
    if reset, stream != 0 {
      output?.discard()
      connection?.reset(stream)
    }
    if status.code == .ok { finishInbound(.success(())) }
    fail(status.code == .ok ? CancellationError() : status)
    let waiting = awaitingInitial
    awaitingInitial = []
    for waiter in waiting { waiter.resume(initialResult) }
    deliverResponse()
  }

  /// Keeps the one response.
  /// - Returns: Why the call failed after all, if there is not exactly one.
  private func takeResponse() -> Status? {
    guard let frame = takeMessage() else { return Status(.internalError, "the server sent no response") }
    do {
      response = try unpack(frame, &responseWasCompressed)
    } catch {
      return Status(reporting: error)
    }
    return takeMessage() == nil ? nil : Status(.internalError, "the server sent more than one response")
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

  // MARK: - Metadata

  /// Waits for the response's headers. Empty when there were none but the status.
  func initialMetadata() async throws -> Metadata {
    try await loop.wait { waiter in
      if self.initial != nil || self.isOver {
        waiter.resume(self.initialResult)
      } else {
        self.awaitingInitial.append(waiter)
      }
    }
  }

  private var initialResult: Result<Metadata, any Error> {
    if let initial { return .success(Metadata(initial)) }
    guard let status, status.code != .ok else { return .success([:]) }
    return .failure(status)
  }

  /// The metadata behind the last message; empty before that.
  func trailingMetadata() async -> Metadata {
    if loop.inEventLoop { return status?.metadata ?? [:] }
    return await withUnsafeContinuation { continuation in
      loop.execute { continuation.resume(returning: self.status?.metadata ?? [:]) }
    }
  }

  // MARK: - The deadline, and cancellation

  func handleScheduledCallback(eventLoop: some EventLoop) {
    timer = nil
    finish(Status(.deadlineExceeded, "the deadline passed"), reset: true)
  }

  func didCancelScheduledCallback(eventLoop: some EventLoop) {}

  /// From any thread.
  func cancel() {
    loop.execute { self.finish(Status(.cancelled, "the call was cancelled"), reset: true) }
  }
}
