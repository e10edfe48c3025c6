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
    let shortest = min(options.handshakeTimeout.nanoseconds, options.writeStallTimeout.nanoseconds)
    let interval = TimeAmount.nanoseconds(max(10_000_000, min(shortest / 4, 2_000_000_000)))
    loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] task in
      guard let self, let context = self.context, context.channel.isActive else { return task.cancel() }
      guard let complaint = self.health.check(isInsideHeaders: self.session.isInsideHeaders, now: Deadline.now) else {
        return
      }
      self.cutOff(.enhanceYourCalm, complaint.rawValue)
      // A peer that does not read would keep the channel open for ever.
      if complaint == .stalledWrite { context.close(promise: nil) }
    }
  }

  /// Lets calls finish, then closes.
  func shutDown() {
    guard phase == .serving else { return }
    phase = .announced
    session.submitShutdownNotice()
    session.submitPing()
    touch()
    // The answer to the PING shows that the peer has seen the notice; one that does not answer is not waited for.
    loop.scheduleTask(in: .seconds(1)) { [weak self] in self?.drain() }
  }

  func drain() {
    guard phase == .announced else { return }
    phase = .draining
    session.submitGoAway()
    touch()
  }
}
