import HTTP2
import NIOCore

/// One connection at the server: the session's events to the calls, and what calls ask of the session.
final class ServerConnection: Connection, @unchecked Sendable {
  let core: ServerCore
  @exclusivity(unchecked) private var calls = StreamTable<ServerCall>()
  @exclusivity(unchecked) private var runningHandlers = 0
  @exclusivity(unchecked) private var flood: FloodGuard
  @exclusivity(unchecked) private var requests: RequestBudget
  /// When requests that wait for others have last got on, in ticks.
  private var requestsMoved: UInt32 = 0
  @exclusivity(unchecked) var responses: ResponseBudget
  /// Answers that belong to no call, until their streams are gone.
  private var plain: [Int32: StreamOutput] = [:]
  let peerKey: PeerKey?
  /// Turns of the housekeeping so far: what calls tell their age by.
  var ticks: UInt32 = 0
  /// Bytes that the peer's TCP has taken, where that is known.
  var acknowledgedBytes: Int?
  var phase = Phase.serving
  var health: ConnectionHealth
  var lifetime: ConnectionLifetime
  /// Answers to keepalive PINGs that come before the one to the PING of the shutdown.
  var pongsToSkip = 0
  private var hadCalls = false
  /// Who the client is, where TLS says so. Set before anything is received, and not changed.
  var peerIdentity: PeerIdentity?

  enum Phase {
    case serving
    /// A first GOAWAY said that the end is near; streams that were under way then may still arrive.
    case announced
    /// Streams that had not arrived by now are refused.
    case draining
  }

  var options: ServerOptions { core.options }
  var interceptors: [any ServerInterceptor] { core.interceptors }

  /// - Parameter address: The IP address whose connections are counted; nil for a Unix socket.
  init(core: ServerCore, loop: any EventLoop, address: String?) throws {
    self.core = core
    peerKey = PeerKey(ipAddress: address)
    requests = RequestBudget(limit: core.options.maximumBufferedBytes)
    responses = ResponseBudget(limit: core.options.maximumBufferedBytes)
    flood = FloodGuard(limits: core.options.flood)
    let now = Deadline.now
    health = ConnectionHealth(options: core.options, now: now)
    lifetime = ConnectionLifetime(options: core.options, now: now, spread: .random(in: -1...1))
    try super.init(session: Session(.server, configuration: core.options.session), loop: loop)
    lingering = .seconds(1)
  }

  // MARK: - The connection

  override func activated() { startHousekeeping() }

  override func watch(_ counts: FrameCounts, provoked: Int, sentFrames: Int) {
    if responses.hasWaiting { admitWaiting() }
    if let violation = flood.note(counts, provoked: provoked, sent: sentFrames, now: Deadline.now) {
      cutOff(.enhanceYourCalm, violation.rawValue)
    }
  }

  override func failed(_ error: any Error) {
    cutOff((error as? HTTP2Error)?.answer ?? .protocolError, "\(error)")
  }

  override func channelFailed(_ error: any Error) {
    guard !isClosing, let failure = TLSFailure(established: error, peer: .client), !failure.isHangUp else {
      return
    }
    core.log?("closing the connection from \(peer): \(failure)")
  }

  override var isFinished: Bool { phase == .draining && calls.isEmpty }

  /// Between the two GOAWAYs a call may still arrive that the peer sent before it knew.
  override var outlivesSession: Bool { phase == .announced }

  override func closed() {
    let abandoned = calls.values
    calls = StreamTable()
    for call in abandoned where !call.isOver { call.abandon(CancellationError()) }
    core.remove(self)
  }

  override func removed() { core.remove(self) }

  /// Says why, then closes.
  func cutOff(_ code: ErrorCode, _ reason: String) {
    guard !isClosing else { return }
    core.log?("closing the connection from \(peer): \(reason)")
    session.terminate(code: code, reason: String(reason.prefix(100)))
    isClosing = true
    lingering = .seconds(1)
    touch()
  }

  // MARK: - Events

  override func handle(_ event: Event) {
    switch event {
    case .headers(let headers):
      if let call = calls[headers.stream] {
        if headers.endStream { call.end() }
      } else if headers.isFirst {  // else trailers of a request that was answered without a call
        begin(headers)
      }
    case .data(let stream, let chunk): calls[stream]?.received(chunk)
    case .end(let stream): calls[stream]?.end()
    case .closed(let stream, _):
      guard let call = calls.remove(stream) else { return discard(plain.removeValue(forKey: stream)) }
      call.dropAll()
      give(requests.closed(stream))
      if !call.isOver { call.abandon(CancellationError()) }
      if phase == .draining { touch() }
    case .writable(let stream): calls[stream]?.outputDrained()
    case .endSent(let stream):
      // The answer is complete and the caller still sends: it may stop, and that is no error (RFC 9113 §8.1).
      if session.isReceiving(stream: stream) {
        session.reset(stream: stream, code: .noError)
        touch()
      }
    case .settings: health.hasSettings = true
    case .pong: gotPong()
    case .goAway: break
    }
  }

  private func begin(_ headers: Event.Headers) {
    switch RequestHead.judge(headers, router: core.router, acceptsCompressed: options.acceptsCompressed) {
    case .call where !hasRoomForHandlers: refuse(headers, .tooManyHandlers)
    case .call(let route, let timeout, let encoding):
      let call = ServerCall(
        connection: self, stream: headers.stream, route: route, headers: headers.block,
        deadline: timeout.map(Timeout.deadline))
      call.expectEncoded(encoding)
      calls.insert(call, for: headers.stream)
      hadCalls = true
      call.begin()
      if headers.endStream { call.end() }
    case .refuse(let status): refuse(headers, status)
    case .http(let head, let body):
      let output = StreamOutput()
      output.append(ByteBuffer(string: body))
      output.end()
      if !headers.endStream { session.notifyEnd(stream: headers.stream) }
      if !body.isEmpty { plain[headers.stream] = output }
      respond(headers.stream, head, body.isEmpty ? nil : output)
      send(headers.stream, output)
    }
  }

  private func refuse(_ headers: Event.Headers, _ status: Status) {
    for interceptor in interceptors { interceptor.refused(status) }
    if !headers.endStream { session.notifyEnd(stream: headers.stream) }
    let head = HeaderBlock.refusalHead(acceptsCompressed: options.acceptsCompressed)
    respond(headers.stream, head.ending(with: status), nil)
  }

  // MARK: - For calls

  /// Those that have not been answered.
  var runningCalls: [ServerCall] { calls.values.filter { !$0.isOver } }

  /// Whether calls are under way or began since the last time.
  func takeHadCalls() -> Bool {
    defer { hadCalls = false }
    return hadCalls || !calls.isEmpty
  }

  var hasRoomForHandlers: Bool { runningHandlers < options.maximumHandlers }
  func handlerStarted() { runningHandlers += 1 }
  func handlerEnded() { runningHandlers -= 1 }

  func respond(_ stream: Int32, _ headers: HeaderBlock, _ output: StreamOutput?) {
    // It fails only when the stream is gone; its `.closed` event then ends the call.
    try? session.respond(stream: stream, headers: headers, output: output)
    touch()
  }

  func resetAfterEnd(_ stream: Int32) { session.notifyEnd(stream: stream) }

  // MARK: - What the peer makes us hold

  /// Lets the peer send that many bytes more on a stream, unless its unfinished requests hold too much already.
  func credit(_ stream: Int32, _ bytes: Int, held: Int, taker: RequestBudget.Taker) {
    if requests.admits(stream, bytes, own: held, taker: taker) { consume(stream, bytes) }
  }

  func heldChanged(_ stream: Int32, by change: Int, held: Int) {
    give(requests.changed(stream, by: change, own: held))
  }

  func waitsForMessage(_ stream: Int32) { give(requests.wants(stream)) }

  private func give(_ credits: [RequestBudget.Credit]) {
    for credit in credits {
      calls[credit.stream]?.requestMayGoOn()
      consume(credit.stream, credit.bytes)
    }
  }

  /// Ends calls whose requests have not come in time. Those whose handlers do something else have time: window is given
  /// to them when they read again.
  func checkRequests(_ limit: UInt32) {
    if requests.hasMoved() { requestsMoved = ticks }
    for call in calls.values {
      switch requests.takerWaiting(call.stream) {
      case nil: call.checkRequest(limit, now: ticks, idle: nil)
      case .nobody: call.requestMayGoOn()
      case .unary, .reader: call.checkRequest(limit, now: ticks, idle: ticks &- requestsMoved)
      }
    }
  }
}
