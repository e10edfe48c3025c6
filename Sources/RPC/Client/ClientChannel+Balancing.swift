import NIOCore

/// Does what the balancer decides, and tells it what came of it.
extension ClientChannel {
  static func balancer(for target: Target, _ options: ClientOptions) -> any Balancer {
    let fixed = target.fixedAddresses.flatMap { $0.isEmpty ? nil : $0 }
    let attempts = Reconnection(options)
    let timeout = max(1, options.connectTimeout.nanoseconds)
    return switch options.loadBalancing {
    case .pickFirst:
      PickFirst(
        addresses: fixed, attempts: attempts, connectTimeout: timeout,
        attemptDelay: options.connectionAttemptDelay.nanoseconds)
    case .roundRobin: RoundRobin(addresses: fixed, attempts: attempts, connectTimeout: timeout)
    }
  }

  private static var dice: Double { .random(in: -1...1) }

  /// While a name is asked for anew, what failed may have been an old address: calls wait for the answer.
  var state: Connectivity {
    if isClosed { return .shutdown }
    let state = balancer.state
    return state == .transientFailure && schedule.isUnderWay && !resolutionIsLate ? .connecting : state
  }

  private func perform(_ actions: [BalancerAction]) {
    for action in actions where !isClosed {
      switch action {
      case .connect(let address, let delay, let timeout):
        subchannel(address).connect(after: delay, timeout: timeout)
      case .drop(let address): drop(address)
      case .wake(let address, let delay):
        loop.scheduleTask(in: .nanoseconds(delay)) { [weak self] in
          guard let self, !self.isClosed else { return }
          self.perform(self.balancer.woke(address, now: Deadline.now))
          self.settle()
        }
      case .resolve: resolve()
      }
    }
  }

  private func subchannel(_ address: ServerAddress) -> Subchannel {
    if let known = subchannels[address] { return known }
    let subchannel = Subchannel(address: address, channel: self)
    subchannels[address] = subchannel
    return subchannel
  }

  private func drop(_ address: ServerAddress) {
    guard let subchannel = subchannels.removeValue(forKey: address) else { return }
    ready.removeAll { $0 === subchannel }
    subchannel.drop()
  }

  /// Starts no more calls on any connection.
  func disconnect() {
    for address in Array(subchannels.keys) { drop(address) }
  }

  /// After anything that may have changed the state: calls that wait go, fail or have a connection made for them.
  func settle() {
    if !isClosed, balancer.state == .idle, !queue.isEmpty || observers.wantConnection {
      perform(balancer.connect(now: Deadline.now))
    }
    let state = state
    tell(state)
    switch state {
    case .ready: roomMade()
    case .transientFailure: failImpatient()
    case .idle, .connecting, .shutdown: break
    }
    if state != .idle, state != .shutdown { scheduleIdleCheck() }
  }

  // MARK: - What became of an address

  func connected(_ subchannel: Subchannel) {
    perform(balancer.connected(subchannel.address, now: Deadline.now))
    ready.append(subchannel)
    settle()
  }

  func failed(_ subchannel: Subchannel, _ reason: String) {
    perform(balancer.failed(subchannel.address, reason, now: Deadline.now, spread: Self.dice))
    settle()
  }

  func lost(_ subchannel: Subchannel, wasUseful: Bool) {
    ready.removeAll { $0 === subchannel }
    perform(balancer.lost(subchannel.address, wasUseful, now: Deadline.now, spread: Self.dice))
    settle()
  }

  // MARK: - Names

  private func resolve() {
    guard target.fixedAddresses?.isEmpty != false else { return }
    switch schedule.request(now: Deadline.now) {
    case .nothing:
      // Calls do not wait for what has taken too long already; its answer will still be welcome.
      if schedule.isUnderWay, resolutionIsLate { loop.execute { self.resolutionTookTooLong() } }
    case .later(let delay): resolveLater(delay)
    case .resolve: resolveNow()
    }
  }

  private func resolveLater(_ delay: Int64) {
    loop.scheduleTask(in: .nanoseconds(delay)) { [weak self] in
      guard let self, self.schedule.planDue(isNeeded: !self.isClosed && self.balancer.state != .idle) else { return }
      self.resolveNow()
    }
  }

  private func resolveNow() {
    resolutionIsLate = false
    let late = loop.scheduleTask(in: options.connectTimeout.timeAmount) { [weak self] in
      guard let self, !self.isClosed else { return }
      self.resolutionIsLate = true
      self.resolutionTookTooLong()
    }
    let (target, resolver, loop) = (target, options.resolver, loop)
    Task { [weak self] in
      let result: Result<[ServerAddress], any Error>
      do {
        guard case .host(let host, let port) = target else { throw NoAddresses() }
        let addresses = try await resolver.addresses(of: host, port: port)
        result = addresses.isEmpty ? .failure(NoAddresses()) : .success(addresses)
      } catch {
        result = .failure(error)
      }
      loop.execute { [weak self] in
        late.cancel()
        self?.resolved(result)
      }
    }
  }

  private struct NoAddresses: Error, CustomStringConvertible {
    var description: String { "it has no addresses" }
  }

  private func resolved(_ result: Result<[ServerAddress], any Error>) {
    guard !isClosed else { return }
    let now = Deadline.now
    switch result {
    case .failure(let error):
      schedule.ended(withAnswer: false, now: now)
      resolutionFailed("the name cannot be resolved: \(error)")
    case .success(let addresses):
      schedule.ended(withAnswer: true, now: now)
      perform(balancer.resolved(addresses, now: now))
      for address in Array(subchannels.keys) where !addresses.contains(address) { drop(address) }
      settle()
    }
    resolveAgain()
  }

  private func resolutionTookTooLong() { resolutionFailed("the name was not resolved in time") }

  private func resolutionFailed(_ reason: String) {
    perform(balancer.resolutionFailed(reason, now: Deadline.now, spread: Self.dice))
    settle()
  }

  /// Every now and then, unless nobody uses the client: it asks when it is used again.
  private func resolveAgain() {
    resolveTimer?.cancel()
    guard let interval = options.resolveInterval else { return }
    resolveTimer = loop.scheduleTask(in: interval.timeAmount) { [weak self] in
      guard let self, !self.isClosed, self.balancer.state != .idle else { return }
      self.resolve()
      self.settle()
    }
  }

  // MARK: - Idleness

  /// How often in an idle timeout is looked, so that calls need not take the time.
  private static let looks = 4

  private func scheduleIdleCheck() {
    guard idleCheck == nil, let timeout = options.idleTimeout else { return }
    let interval = max(1_000_000, timeout.nanoseconds / Int64(Self.looks))
    idleCheck = loop.scheduleTask(in: .nanoseconds(interval)) { [weak self] in
      guard let self, !self.isClosed else { return }
      self.idleCheck = nil
      self.lookForIdleness()
    }
  }

  private func lookForIdleness() {
    var looks = queue.isEmpty && !wasNeeded ? idleLooks + 1 : 0
    wasNeeded = false
    for subchannel in subchannels.values { looks = min(looks, subchannel.lookForIdleness(limit: Self.looks)) }
    idleLooks = looks
    if looks >= Self.looks {
      idleLooks = 0
      balancer.stop()
      disconnect()
    }
    settle()
  }
}
