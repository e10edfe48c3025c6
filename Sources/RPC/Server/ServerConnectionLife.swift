import HTTP2
import NIOCore

/// What a connection owes in time. Pure: it is told the time, in nanoseconds.
struct ConnectionHealth {
  enum Complaint: String {
    case slowHandshake = "no HTTP/2 preface and SETTINGS in time"
    case slowHeaders = "a header block was not finished in time"
    case stalledWrite = "the peer stopped reading"
  }

  private let handshakeTimeout: Int64
  private let stallTimeout: Int64
  private let opened: Int64
  private var stalledSince: Int64?
  private var headersSince: Int64?
  /// The peer's SETTINGS have come, so its preface has too.
  var hasSettings = false

  init(options: ServerOptions, now: Int64) {
    handshakeTimeout = options.handshakeTimeout.nanoseconds
    stallTimeout = options.writeStallTimeout.nanoseconds
    opened = now
  }

  mutating func writable(_ isWritable: Bool, now: Int64) { stalledSince = isWritable ? nil : stalledSince ?? now }

  mutating func check(isInsideHeaders: Bool, now: Int64) -> Complaint? {
    headersSince = isInsideHeaders ? headersSince ?? now : nil
    if !hasSettings, now - opened >= handshakeTimeout { return .slowHandshake }
    if let headersSince, now - headersSince >= handshakeTimeout { return .slowHeaders }
    if let stalledSince, now - stalledSince >= stallTimeout { return .stalledWrite }
    return nil
  }
}

// MARK: - Time and the end

extension ServerConnection {
  /// Looks after the connection a few times per timeout, so that no read needs a timer of its own.
  func startHousekeeping() {
    let interval = ConnectionLifetime.checkInterval(options)
    loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] task in
      guard let self, let context = self.context, context.channel.isActive else { return task.cancel() }
      let now = Deadline.now
      if let complaint = self.health.check(isInsideHeaders: self.session.isInsideHeaders, now: now) {
        self.cutOff(.enhanceYourCalm, complaint.rawValue)
        // A peer that does not read would keep the channel open for ever.
        if complaint == .stalledWrite { context.close(promise: nil) }
      } else {
        self.checkLifetime(now)
      }
    }
  }

  private func checkLifetime(_ now: Int64) {
    let action = lifetime.check(hasHeard: hasHeard, hadCalls: takeHadCalls(), now: now)
    hasHeard = false
    switch action {
    case .ping:
      session.submitPing()
      touch()
    case .close:
      core.log?("closing the connection from \(peer): a keepalive PING was not answered")
      closeNow()
    case .drain: shutDown()
    case .cutShort: cutShort(Status(.unavailable, "the connection has reached its greatest age"))
    case nil: break
    }
  }

  /// Lets calls finish, then closes: a first GOAWAY says that the end is near, the second names the last call taken
  /// (RFC 9113 §6.8), so that no call is lost that the peer had sent before it knew.
  func shutDown() {
    guard phase == .serving else { return }
    phase = .announced
    pongsToSkip = lifetime.isAwaitingPong ? 1 : 0
    session.submitShutdownNotice()
    session.submitPing()
    touch()
    // The answer to the PING shows that the peer has seen the notice; one that does not answer is not waited for.
    loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.drain() }
  }

  func gotPong() {
    guard phase == .announced else { return }
    if pongsToSkip > 0 { pongsToSkip -= 1 } else { drain() }
  }

  private func drain() {
    guard phase == .announced else { return }
    phase = .draining
    session.submitGoAway()
    touch()
  }

  /// The time to finish is over: the callers of what still runs are told why, and the connection closes. A peer that
  /// does not read that within a second loses the connection without it.
  func cutShort(_ status: Status) {
    if phase != .draining {
      phase = .draining
      session.submitGoAway()
    }
    for call in runningCalls { call.cutShort(status) }
    touch()
    loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.closeNow() }
  }

  /// Closes our half, and the other one when the peer has: to close with bytes of the peer's unread, a window update,
  /// say, makes the kernel reset the connection, and the peer may then not see the trailers that it was sent last.
  func hangUpGently(_ channel: any Channel) {
    channel.close(mode: .output).whenFailure { _ in channel.close(promise: nil) }
    loop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
  }
}
