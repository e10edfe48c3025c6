import HTTP2
import NIOCore

/// One call at the server: from its headers to its trailers. See `Call` for which thread may touch what.
final class ServerCall: Call, NIOScheduledCallbackHandler, @unchecked Sendable {
  let connection: ServerConnection
  let stream: Int32
  let route: Route
  let headers: HeaderBlock
  let deadline: Deadline?
  var trailingMetadata: Metadata = [:]
  /// What the timer waits for: the deadline, or less.
  @exclusivity(unchecked) private var timerDeadline: Deadline?
  private var timer: NIOScheduledCallback?
  @exclusivity(unchecked) private var task: Task<Void, Never>?
  /// How the call ended: trailers are on their way, or nobody is there to get them.
  @exclusivity(unchecked) private(set) var outcome: Status?
  var isOver: Bool { outcome != nil }
  private var hasSentHeaders = false
  /// Whether responses are to be compressed, if the caller takes it. Settled when the headers go out.
  private var wantsCompression: Bool
  @exclusivity(unchecked) private(set) var requestWasCompressed = false
  private var requestIsComplete = false
  /// When the call, or the message that is coming in, began, in ticks of its connection's housekeeping: cheaper than a
  /// look at the clock for each call.
  private var began: UInt32
  /// Which message of a stream that is.
  private var messageNumber: UInt32 = 0

  init(connection: ServerConnection, stream: Int32, route: Route, headers: HeaderBlock, deadline: Deadline?) {
    self.connection = connection
    self.stream = stream
    self.route = route
    self.headers = headers
    self.deadline = deadline
    began = connection.ticks
    wantsCompression = connection.options.compression == .gzip
    super.init(
      loop: connection.runner.loop, limit: connection.options.maximumRequestBytes,
      isStreaming: !route.takesOneMessage)
  }

  var responseLimit: Int { connection.options.maximumResponseBytes }

  // MARK: - The request

  /// The headers are there.
  func begin() {
    if let deadline { shorten(to: deadline) }
    if !route.takesOneMessage { start() }
  }

  /// The request is complete.
  func end() {
    requestIsComplete = true
    receivedEnd()
    if route.takesOneMessage, task == nil, !isOver { start() }
  }

  private func start() {
    // A timer would come after the handler's first job, which may be all of it.
    if let deadline, deadline.isExpired {
      let status = Status(.deadlineExceeded, "the deadline had passed before the call began")
      for interceptor in connection.interceptors { interceptor.refused(status) }
      return finish(status)
    }
    // At the headers of a request that is one message there may have been room still.
    guard connection.hasRoomForHandlers else {
      for interceptor in connection.interceptors { interceptor.refused(.tooManyHandlers) }
      return finish(.tooManyHandlers)
    }
    connection.handlerStarted()
    task = runTask()
  }

  func decodeRequest<Message>(_ codec: Codec<Message>) throws -> Message {
    guard let message = takeMessage() else { throw Status(.internalError, "the request holds no message") }
    guard takeMessage() == nil else { throw Status(.internalError, "the request holds more than one message") }
    return try Self.decode(unpack(message, &requestWasCompressed), codec)
  }

  static func decode<Message>(_ message: ByteBuffer, _ codec: Codec<Message>) throws -> Message {
    do {
      return try codec.decode(message)
    } catch {
      throw Status(.invalidArgument, "a message cannot be decoded: \(error)")
    }
  }

  // MARK: - The handler

  /// In one function: with each async function more, a return asks the runtime for the task's executor, under a lock of
  /// the task.
  private func runTask() -> Task<Void, Never> {
    Task(executorPreference: connection.runner) {
      var last: ByteBuffer?
      var status = Status.ok
      do {
        if self.connection.holdsTooMuch { try await self.connection.waitUntilRead() }
        if let deadline = self.deadline {
          last = try await Deadline.$current.withValue(deadline) { try await self.handle() }
        } else if self.connection.interceptors.isEmpty {
          last = try await self.route.run(self)
        } else {
          last = try await self.intercepted(self.connection.interceptors[...])
        }
      } catch {
        status = Status(reporting: error)
      }
      if self.loop.inEventLoop {
        self.handlerEnded(status, last)
      } else {
        self.loop.execute { [status, last] in self.handlerEnded(status, last) }
      }
    }
  }

  private func handle() async throws -> ByteBuffer? {
    try await intercepted(connection.interceptors[...])
  }

  private func handlerEnded(_ status: Status, _ last: ByteBuffer?) {
    connection.handlerEnded()
    finish(status, last: last)
  }

  // MARK: - The response

  func sendInitialMetadata(_ metadata: Metadata) {
    guard !isOver, !hasSentHeaders else { return }
    if let problem = metadata.problem {
      finish(Status(.internalError, "initial metadata cannot be sent: \(problem)"))
      return
    }
    var head = HeaderBlock.compressedHead  // the longer one
    head.append(metadata)
    guard head.boundOnWire <= HeaderBlock.maximumBytes else {
      finish(Status(.resourceExhausted, "initial metadata cannot be sent: it is over 64 KiB"))
      return
    }
    _ = openOutput(metadata)
  }

  func compressResponses(_ wanted: Bool) {
    if !hasSentHeaders { wantsCompression = wanted }
  }

  override func openOutput() throws -> StreamOutput { openOutput(nil) }

  private func openOutput(_ metadata: Metadata?) -> StreamOutput {
    if let output { return output }
    let created = StreamOutput()
    output = created
    hasSentHeaders = true
    var head = HeaderBlock.responseHead
    if wantsCompression, headers.acceptsGzip {
      head = .compressedHead
      outgoing = CompressionPolicy(algorithm: .gzip, threshold: connection.options.compressionThreshold)
    }
    if let metadata { head.append(metadata) }
    connection.respond(stream, head, created)
    return created
  }

  override func outputChanged() {
    guard let output else { return }
    connection.send(stream, output)
  }

  override func credit(_ bytes: Int) {
    guard !requestIsComplete else { return }
    let taker: RequestBudget.Taker = route.takesOneMessage ? .unary : isAwaited ? .reader : .nobody
    connection.credit(stream, bytes, held: heldBytes, taker: taker)
  }

  override func worked(_ bytes: Int) { connection.runner.worked(bytes) }

  override func heldChanged(by change: Int) { connection.heldChanged(stream, by: change, held: heldBytes) }

  override func waitsForMessage() { connection.waitsForMessage(stream) }

  override func giveWay(_ body: @escaping @Sendable () -> Void) { connection.runner.postpone(body) }

  /// The peer had to wait for window: its time begins now.
  func requestMayGoOn() { began = connection.ticks }

  /// Ends a call whose message has not come since that many ticks.
  /// - Parameter idle: The ticks since requests of this connection have got on; nil where this one need not wait.
  func checkRequest(_ limit: UInt32, now: UInt32, idle: UInt32?) {
    guard !requestIsComplete, !isOver else { return }
    if !route.takesOneMessage {
      // While a whole message waits, and before one has begun, the peer owes nothing.
      guard deframer.isInsideMessage, !deframer.hasMessage, deframer.completed == messageNumber else {
        messageNumber = deframer.completed
        began = now
        return
      }
    }
    guard min(now &- began, idle ?? .max) >= limit else { return }
    finish(Status(.deadlineExceeded, "the request was not sent in time"))
  }

  override func inboundFailed(_ status: Status) { finish(status) }

  /// Sends what is left and the trailers.
  /// - Parameter isLate: The deadline has passed: trailers that would wait behind what the caller has not read are of
  ///   no use, and the stream is reset instead. The caller knows its deadline itself.
  func finish(_ status: Status, last: ByteBuffer? = nil, isLate: Bool = false) {
    guard !isOver else { return }
    outcome = status
    timer?.cancel()
    timer = nil
    var status = status
    if !trailingMetadata.isEmpty { status.metadata.add(contentsOf: trailingMetadata) }
    if !requestIsComplete { connection.resetAfterEnd(stream) }
    if output == nil, last == nil {
      connection.respond(stream, refusalHead.ending(with: status), nil)
    } else {
      let output = openOutput(nil)
      if let last { output.append(outgoing?.apply(to: last, nil) ?? last) }
      output.end(trailers: .trailers(status))
      if isLate, output.bufferedBytes > 0 {
        connection.count(output)
        connection.reset(stream)
      } else {
        connection.send(stream, output)
      }
    }
    dropUnread()
    if status.code != .ok {
      stop(status)
    } else if !route.takesOneMessage || last == nil {  // all but unary calls
      fail(CancellationError())  // for a reader or writer that outlived its handler
    }
  }

  /// Ends the call in place of its handler; what the caller has not been sent yet is dropped.
  func cutShort(_ status: Status) {
    guard !isOver else { return }
    connection.discard(output)
    finish(status)
  }

  private var refusalHead: HeaderBlock {
    .refusalHead(acceptsCompressed: connection.options.acceptsCompressed)
  }

  /// The peer has gone, or reset the stream: nobody is left to answer.
  func abandon(_ error: any Error) {
    timer?.cancel()
    timer = nil
    if outcome == nil { outcome = Status(.cancelled, "the caller went away") }
    stop(error)
  }

  /// The stream is gone: nothing that waited on it will be needed, even if the handler does not end.
  func dropAll() {
    dropUnread()
    connection.discard(output)
  }

  private func stop(_ error: any Error) {
    fail(error)
    task?.cancel()
  }

  // MARK: - The deadline

  /// The call is over by then, unless it has to be earlier: an interceptor may give it less time than its caller does.
  func shorten(to deadline: Deadline) {
    guard !isOver, deadline < timerDeadline ?? .never else { return }
    timerDeadline = deadline
    timer?.cancel()
    timer = try? loop.scheduleCallback(at: deadline.moment, handler: self)  // fails on a loop that has ended
  }

  func handleScheduledCallback(eventLoop: some EventLoop) {
    timer = nil
    finish(Status(.deadlineExceeded, "the deadline passed at the server"), isLate: true)
  }

  func didCancelScheduledCallback(eventLoop: some EventLoop) {}
}

// MARK: - Interceptors

extension ServerCall {
  private func intercepted(_ rest: ArraySlice<any ServerInterceptor>) async throws -> ByteBuffer? {
    guard let first = rest.first else { return try await route.run(self) }
    let result = Box()
    try await first.intercept(ServerContext(self)) {
      var failure: (any Error)?
      do {
        result.value = try await self.intercepted(rest.dropFirst())
      } catch {
        failure = error
      }
      // Where the call is over already, what counts is how it ended, not what then became of the handler, or of an
      // interceptor that still held the call.
      if let outcome = await self.currentOutcome() { throw outcome }
      if let failure { throw failure }
    }
    return result.value
  }

  private func currentOutcome() async -> Status? {
    if loop.inEventLoop { return outcome }
    return await withUnsafeContinuation { continuation in
      loop.execute { continuation.resume(returning: self.outcome) }
    }
  }

  /// Carries the last message past an interceptor, which does not see it.
  /// `@unchecked Sendable`: written before `next` returns, read after `intercept` has; an interceptor that returns
  /// while its `next` still runs in a task of its own would break its contract.
  private final class Box: @unchecked Sendable {
    var value: ByteBuffer?
  }
}
