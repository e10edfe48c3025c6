import HTTP2
import NIOCore

// MARK: - Time and the end

extension ServerConnection {
  /// Looks after the connection a few times per timeout, so that no read or call needs a timer of its own.
  func startHousekeeping() {
    let request = options.requestTimeout.nanoseconds
    let shortest = min(options.handshakeTimeout.nanoseconds, options.writeStallTimeout.nanoseconds, request)
    let interval = max(10_000_000, min(shortest / 4, 2_000_000_000))
    let requestTicks = UInt32(clamping: request / interval)
    loop.scheduleRepeatedTask(initialDelay: .nanoseconds(interval), delay: .nanoseconds(interval)) { [weak self] task in
      guard let self, let context = self.context, context.channel.isActive else { return task.cancel() }
      self.ticks &+= 1
      self.checkRequests(requestTicks)
      let vitals = self.vitals(context.channel)
      guard let complaint = self.health.check(vitals, now: Deadline.now) else { return }
      self.cutOff(complaint.code, complaint.rawValue)
      // To a peer that does not read nothing more can be said.
      if vitals.pending > 0 { context.close(promise: nil) }
    }
  }

  private func vitals(_ channel: any Channel) -> ConnectionHealth.Vitals {
    let pending = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    let held = bufferedBytes
    if pending > 0 || held > 0 { TCPProgress.read(channel) { self.acknowledgedBytes = $0 } }
    return ConnectionHealth.Vitals(
      isInsideHeaders: session.isInsideHeaders, isAcknowledged: session.isAcknowledged, pending: pending, held: held,
      taken: acknowledgedBytes ?? writtenBytes - pending)
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
