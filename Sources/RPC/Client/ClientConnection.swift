import HTTP2
import NIOCore

/// One connection at the client. Calls beyond what the server lets us open at once wait here.
final class ClientConnection: Connection, @unchecked Sendable {
  /// nghttp2 sends no header block that might not fit in 64 KiB.
  private static let maximumHeaderBytes = 60_000

  private weak var channel: ClientChannel?
  private let options: ClientOptions
  /// The headers that every request begins and ends with.
  private let requestStart: HeaderBlock
  private let requestEnd: HeaderBlock
  private var calls: [Int32: ClientCall] = [:]
  private var pending: [ClientCall] = []
  private var pendingHead = 0
  /// The server's SETTINGS have come.
  private(set) var isReady = false
  /// No more calls are to be started here.
  private(set) var isDraining = false
  private var failure = "the connection was lost"
  private var keepalive = Keepalive()
  private var flood: FloodGuard

  init(channel: ClientChannel, loop: any EventLoop) throws {
    self.channel = channel
    options = channel.options
    flood = FloodGuard(limits: channel.options.flood)
    requestStart = [
      ":method": "POST", ":scheme": channel.options.tls == nil ? "http" : "https", ":authority": channel.authority,
    ]
    requestEnd = channel.options.requestEnd
    super.init(session: try Session(.client, configuration: channel.options.session), loop: loop)
  }

  // MARK: - Calls

  func start(_ call: ClientCall) {
    if calls.count < session.peerMaximumStreams { open(call) } else { pending.append(call) }
  }

  private func open(_ call: ClientCall) {
    guard !call.isOver else { return }
    if call.deadline?.isExpired == true {
      return call.finish(Status(.deadlineExceeded, "the deadline passed before the call was sent"))
    }
    let headers = headers(of: call)
    guard headers.bytes.count <= Self.maximumHeaderBytes else {
      return call.finish(Status(.resourceExhausted, "the request's metadata is over \(Self.maximumHeaderBytes) bytes"))
    }
    do {
      let stream = try session.request(headers: headers, output: call.prepareAttempt())
      call.stream = stream
      call.connection = self
      calls[stream] = call
      touch()
    } catch {
      // Ids have run out, or a GOAWAY came: another connection can take it.
      retire()
      channel?.start(call)
    }
  }

  private func headers(of call: ClientCall) -> HeaderBlock {
    var block = HeaderBlock(reserving: 320)
    block.append(contentsOf: requestStart)
    block.append(":path", call.path)
    block.append(contentsOf: requestEnd)
    if let deadline = call.deadline, deadline != .never {
      block.append("grpc-timeout", Timeout.format(nanoseconds: deadline.nanoseconds - Deadline.now))
    }
    if call.compression.algorithm == .gzip { block.append("grpc-encoding", "gzip") }
    block.append(call.metadata)
    return block
  }

  private func startPending() {
    while pendingHead < pending.count, calls.count < session.peerMaximumStreams, !isDraining {
      pendingHead += 1
      open(pending[pendingHead - 1])
    }
    if pendingHead == pending.count || pendingHead > 1024 {
      pending.removeFirst(pendingHead)
      pendingHead = 0
    }
  }

  private func takePending() -> [ClientCall] {
    defer { (pending, pendingHead) = ([], 0) }
    return Array(pending[pendingHead...])
  }

  // MARK: - Events

  override func activated() { startKeepalive() }

  override func handle(_ event: Event) {
    keepalive.heard()
    switch event {
    case .headers(let headers): calls[headers.stream]?.receivedHeaders(headers)
    case .data(let stream, let chunk): calls[stream]?.received(chunk)
    case .end(let stream):
      calls[stream]?.finish(Status(.internalError, "the server ended the call without a status"), reset: true)
    case .closed(let stream, let code):
      guard let call = calls.removeValue(forKey: stream) else { return }
      if call.streamClosed(code: code) { channel?.start(call) }
      startPending()
      if isDraining { touch() }
    case .writable(let stream): calls[stream]?.outputDrained()
    case .settings:
      if !isReady {
        isReady = true
        channel?.becameReady(self)
      }
      startPending()
    case .goAway(_, let code, let reason):
      if code != ErrorCode.noError.rawValue {
        failure = "the server went away with HTTP/2 error code \(code)\(reason.isEmpty ? "" : ": \(reason)")"
      }
      retire()
    case .endSent, .pong: break
    }
  }

  /// Takes no more calls; those under way go on. Those that wait go elsewhere.
  func retire() {
    guard !isDraining else { return }
    isDraining = true
    let moved = takePending()
    channel?.retired(self)
    for call in moved { channel?.start(call) }
    touch()
  }

  override var isFinished: Bool { isDraining && calls.isEmpty }

  override func watch(_ counts: FrameCounts, provoked: Int, sentFrames: Int) {
    guard let violation = flood.note(counts, provoked: provoked, sent: sentFrames, now: Deadline.now) else { return }
    cutOff(.enhanceYourCalm, "the server sent \(violation.rawValue)")
  }

  override func failed(_ error: any Error) {
    cutOff((error as? HTTP2Error)?.answer ?? .protocolError, "the server broke the HTTP/2 protocol: \(error)")
  }

  private func cutOff(_ code: ErrorCode, _ reason: String) {
    guard !isClosing else { return }
    failure = reason
    session.terminate(code: code)
    isClosing = true
    lingering = .seconds(1)
    touch()
  }

  override func channelFailed(_ error: any Error) {
    if let reason = TLSFailure(established: error, peer: .server) { failure = reason.description }
  }

  override func closed() {
    retire()
    let lost = calls.values
    calls = [:]
    for call in lost { call.finish(Status(.unavailable, failure)) }
    channel?.closed(self, reason: failure)
  }

  /// Ends every call and the connection.
  func abort(_ status: Status) {
    isDraining = true
    let ended = Array(calls.values) + takePending()
    for call in ended { call.finish(status, reset: true) }
    session.submitGoAway()
    isClosing = true
    touch()
  }
}

// MARK: - Keepalive

extension ClientConnection {
  struct Keepalive {
    private var hasHeard = true
    private var pingSent: Int64?

    mutating func heard() {
      hasHeard = true
      pingSent = nil
    }

    enum Action { case nothing, ping, close }

    mutating func check(isInUse: Bool, now: Int64, timeout: Int64) -> Action {
      if let pingSent { return now - pingSent >= timeout ? .close : .nothing }
      defer { hasHeard = false }
      guard isInUse, !hasHeard else { return .nothing }
      pingSent = now
      return .ping
    }
  }

  private func startKeepalive() {
    guard let interval = options.keepaliveInterval?.timeAmount else { return }
    let timeout = options.keepaliveTimeout.nanoseconds
    let period = min(interval, .nanoseconds(max(1_000_000, timeout)))
    loop.scheduleRepeatedTask(initialDelay: period, delay: period) { [weak self] task in
      guard let self, self.context?.channel.isActive == true else { return task.cancel() }
      switch self.keepalive.check(isInUse: !self.calls.isEmpty, now: Deadline.now, timeout: timeout) {
      case .nothing: break
      case .ping:
        self.session.submitPing()
        self.touch()
      case .close:
        self.failure = "the server did not answer a keepalive PING"
        self.closeNow()
      }
    }
  }
}
