import HTTP2
import NIOCore

// MARK: - Time and the end

extension ServerConnection {
  /// Looks after the connection a few times per timeout, so that no read or call needs a timer of its own.
  func startHousekeeping() {
    let interval = ConnectionLifetime.checkInterval(options)
    let requestTicks = UInt32(clamping: options.requestTimeout.nanoseconds / interval.nanoseconds)
    loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] task in
      guard let self, let context = self.context, context.channel.isActive else { return task.cancel() }
      self.ticks &+= 1
      self.checkRequests(requestTicks)
      let vitals = self.vitals(context.channel)
      let now = Deadline.now
      guard let complaint = self.health.check(vitals, now: now) else { return self.checkLifetime(now) }
      self.cutOff(complaint.code, complaint.rawValue)
      // To a peer that does not read nothing more can be said.
      if vitals.pending > 0 { context.close(promise: nil) }
    }
  }

  private func vitals(_ channel: any Channel) -> ConnectionHealth.Vitals {
    // While it lingers nothing waits in the channel, but in the kernel.
    let pending = ((try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0) + (isOwedRest ? 1 : 0)
    let held = heldResponses
    if pending > 0 || held > 0 {
      TCPProgress.read(channel) {
        if $0.acknowledged > 0 { self.acknowledgedBytes = Int(clamping: $0.acknowledged) }
      }
    }
    // A connection that is closing hears nothing any more.
    return ConnectionHealth.Vitals(
      isInsideHeaders: session.isInsideHeaders && !isClosingChannel,
      isAcknowledged: session.isAcknowledged || isClosingChannel, pending: pending, held: held,
      taken: acknowledgedBytes ?? writtenBytes - pending)
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
}
