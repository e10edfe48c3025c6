import HTTP2
import NIOCore

/// One connection at the client. It belongs to the `Subchannel` of its address, which is told what becomes of it.
final class ClientConnection: Connection, @unchecked Sendable {
  /// Holds this connection as well: until `closed`.
  private var owner: Subchannel?
  private let options: ClientOptions
  /// The headers that every request begins and ends with.
  private let requestStart: HeaderBlock
  private let requestEnd: HeaderBlock
  private var calls = StreamTable<ClientCall>()
  /// The server's SETTINGS have come.
  private(set) var isReady = false
  /// No more calls are to be started here.
  private(set) var isDraining = false
  private var failure = "the connection was lost"
  /// A call was answered on it.
  private(set) var wasUseful = false
  private var flood: FloodGuard
  private var keepalive: Keepalive?
  /// It is checked again when a call begins.
  private(set) var keepaliveRests = false
  /// Since the last look at whether it is idle.
  private var wasUsed = false
  /// How many looks in a row found it idle.
  private var idleLooks = 0

  init(channel: ClientChannel, owner: Subchannel, loop: any EventLoop) throws {
    self.owner = owner
    options = channel.options
    flood = FloodGuard(limits: channel.options.flood)
    requestStart = [
      ":method": "POST", ":scheme": channel.options.tls == nil ? "http" : "https", ":authority": channel.authority,
    ]
    requestEnd = channel.options.requestEnd
    super.init(session: try Session(.client, configuration: channel.options.session), loop: loop)
  }

  // MARK: - Calls

  /// Whether another call can be opened now. The session may know of a GOAWAY whose event has not been handled yet.
  var hasRoom: Bool { !isDraining && calls.count < session.peerMaximumStreams && session.canRequest }

  func start(_ call: ClientCall) {
    guard !call.isOver else { return }
    if call.deadline?.isExpired == true {
      return call.finish(Status(.deadlineExceeded, "the deadline passed before the call was sent"))
    }
    let headers = headers(of: call)
    guard headers.boundOnWire <= HeaderBlock.maximumBytes else {
      return call.finish(Status(.resourceExhausted, "the request's metadata is over 64 KiB"))
    }
    do {
      let stream = try session.request(headers: headers, output: call.prepareAttempt())
      call.stream = stream
      call.connection = self
      calls.insert(call, for: stream)
      wasUsed = true
      if keepaliveRests { checkKeepalive() }
      if stream == .max { retire() }  // ids have run out
      touch()
    } catch {
      // The session is over: another connection can take it.
      let channel = owner?.channel
      retire()
      channel?.start(call)
    }
  }

  /// A call takes over the stream of one of its attempts.
  func replace(_ stream: Int32, with call: ClientCall) { if calls[stream] != nil { calls.insert(call, for: stream) } }

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

  // MARK: - Events

  override func activated() {
    owner?.channel.opened(self)
    if let interval = owner?.channel.keepaliveInterval { startKeepalive(interval: interval) }
  }

  override func handle(_ event: Event) {
    switch event {
    case .headers(let headers):
      wasUseful = true
      calls[headers.stream]?.receivedHeaders(headers)
    case .data(let stream, let chunk): calls[stream]?.receivedData(chunk)
    case .end(let stream):
      calls[stream]?.finish(Status(.internalError, "the server ended the call without a status"), reset: true)
    case .closed(let stream, let code):
      guard let call = calls.remove(stream) else { return }
      if call.streamClosed(code: code) { owner?.channel.start(call) }
      if isDraining { touch() } else { owner?.channel.roomMade() }
    case .writable(let stream): calls[stream]?.outputDrained()
    case .settings:
      if isReady { owner?.channel.roomMade() } else { becomeReady() }
    case .goAway(_, let code, let reason):
      if code != ErrorCode.noError.rawValue {
        failure = "the server went away with HTTP/2 error code \(code)\(reason.isEmpty ? "" : ": \(reason)")"
      }
      if code == ErrorCode.enhanceYourCalm.rawValue, reason == "too_many_pings" { owner?.channel.pingLess() }
      retire()
    case .endSent, .pong: break
    }
  }

  private func becomeReady() {
    // What came with the SETTINGS may have ended the session already: then the attempt to connect has failed.
    guard session.canRequest else { return }
    isReady = true
    owner?.becameReady(self)
  }

  /// Takes no more calls; those under way go on.
  func retire() {
    guard !isDraining else { return }
    isDraining = true
    owner?.retired(self)
    touch()
  }

  /// Calls that are over may still be here: while the server takes nothing, their resets cannot leave.
  override var isFinished: Bool { isDraining && calls.values.allSatisfy(\.isOver) }

  /// No call needs what is left: the resets of some, and a GOAWAY.
  override var closingTime: TimeAmount? { .seconds(1) }

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
    // Nothing more is heard: neither calls nor an attempt to connect need wait for the channel to close.
    retire()
    owner?.gaveUp(self, reason: failure)
    loseCalls(owner)
    touch()
  }

  override func channelFailed(_ error: any Error) {
    if let reason = TLSFailure(established: error, peer: .server) { failure = reason.description }
  }

  override func closed() {
    retire()
    let owner = owner
    self.owner = nil
    owner?.closed(self, reason: failure)
    loseCalls(owner)
  }

  private func loseCalls(_ owner: Subchannel?) {
    let lost = calls.elements
    calls = StreamTable()
    for (stream, call) in lost {
      // What was never written was certainly not processed, and can be sent again.
      if stream > session.lastSentStream, call.streamClosed(code: ErrorCode.refusedStream.rawValue) {
        owner?.channel.start(call)
      } else {
        call.finish(Status(.unavailable, failure))
      }
    }
  }

  /// Ends every call and the connection.
  func abort(_ status: Status) {
    isDraining = true
    for call in calls.values { call.finish(status, reset: true) }
    session.submitGoAway()
    isClosing = true
    touch()
  }

  /// Closes without another word.
  func giveUp(_ reason: String) {
    failure = reason
    closeNow()
  }

  /// Called now and then: how many times in a row, this one included, there was nothing to do.
  func lookForIdleness() -> Int {
    idleLooks = calls.isEmpty && !wasUsed ? idleLooks + 1 : 0
    wasUsed = false
    return idleLooks
  }

  // MARK: - Keepalive

  private func startKeepalive(interval: Int64) {
    keepalive = Keepalive(
      interval: interval, timeout: options.keepaliveTimeout.nanoseconds,
      withoutCalls: options.keepaliveWithoutCalls, now: Deadline.now)
    checkKeepalive()
  }

  private func checkKeepalive() {
    guard context?.channel.isActive == true else { return }
    let action = keepalive?.check(hasHeard: hasHeard, isInUse: !calls.isEmpty, now: Deadline.now)
    hasHeard = false
    keepaliveRests = action == .rest
    switch action {
    case .wait(let time): checkKeepalive(in: time)
    case .ping(let time):
      session.submitPing()
      touch()
      checkKeepalive(in: time)
    case .close: giveUp("the server did not answer a keepalive PING")
    case .rest, nil: break
    }
  }

  private func checkKeepalive(in nanoseconds: Int64) {
    loop.scheduleTask(in: .nanoseconds(nanoseconds)) { [weak self] in self?.checkKeepalive() }
  }
}
