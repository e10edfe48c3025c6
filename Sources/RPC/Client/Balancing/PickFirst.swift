/// The first address that connects takes all calls. Its connection lost, the client is idle; the next call starts a new
/// pass over the addresses from the beginning. When a whole pass has failed, the client rests.
///
/// A pass is "happy eyeballs" (RFC 8305 §5, gRFC A61): an address that neither connects nor fails for a while goes on,
/// and the next one is tried beside it, so that one at which nobody answers costs no more than that while.
struct PickFirst: Balancer {
  /// What the delay between two attempts may be (gRFC A61), in nanoseconds: 100 ms … 2 s.
  static let attemptDelays: ClosedRange<Int64> = 100_000_000...2_000_000_000

  /// Families taking turns (RFC 8305 §4). Nil until the name was first resolved.
  private var addresses: [ServerAddress]?
  private var attempts: Reconnection
  /// In this pass.
  private var tried: Set<ServerAddress> = []
  /// Those tried right now, the latest last. While there are untried ones there is at least one.
  private(set) var pending: [ServerAddress] = []
  /// When the next one is due unless the latest fails before; in a pass.
  private var nextStart = Int64.max
  /// In use.
  private(set) var selected: ServerAddress?
  /// The addresses may have changed: a connection was lost since they were last asked for, or nobody asked for long.
  private var isStale = false
  private(set) var lastError = ""
  private let connectTimeout: Int64
  private let attemptDelay: Int64

  /// - Parameters:
  ///   - connectTimeout: Of each attempt, in nanoseconds.
  ///   - attemptDelay: From the start of an attempt to that of the next one, in nanoseconds.
  init(addresses: [ServerAddress]?, attempts: Reconnection, connectTimeout: Int64, attemptDelay: Int64) {
    self.addresses = addresses.map(ServerAddress.interleaved)
    self.attempts = attempts
    self.connectTimeout = connectTimeout
    self.attemptDelay = min(max(attemptDelay, Self.attemptDelays.lowerBound), Self.attemptDelays.upperBound)
  }

  var state: Connectivity {
    switch attempts.state {
    case .idle: .idle
    case .connecting: .connecting
    case .ready: .ready
    case .resting: .transientFailure
    }
  }

  mutating func connect(now: Int64) -> [BalancerAction] {
    guard let delay = attempts.begin(now: now) else { return [] }
    tried = []
    guard addresses != nil else { return [.resolve] }
    let isStale = isStale
    self.isStale = false
    return (isStale ? [.resolve] : []) + tryNext(now: now, after: delay)
  }

  private var untried: [ServerAddress] { (addresses ?? []).filter { !tried.contains($0) } }

  /// The next address of this pass, if one is left, and a look at how it stands when the one after it is due.
  private mutating func tryNext(now: Int64, after delay: Int64 = 0) -> [BalancerAction] {
    let left = untried
    guard let next = left.first else { return [] }
    tried.insert(next)
    pending.append(next)
    nextStart = now + delay + attemptDelay
    let connect = BalancerAction.connect(next, after: delay, timeout: connectTimeout)
    return left.count > 1 ? [connect, .wake(nil, after: delay + attemptDelay)] : [connect]
  }

  mutating func resolved(_ addresses: [ServerAddress], now: Int64) -> [BalancerAction] {
    let hadUntried = !untried.isEmpty
    self.addresses = ServerAddress.interleaved(addresses)
    isStale = false
    switch attempts.state {
    case .idle: return []
    case .connecting: return resolvedInPass(hadUntried: hadUntried, now: now)
    case .ready:
      guard let gone = selected, !addresses.contains(gone) else { return [] }
      attempts.stop()
      selected = nil
      return [.drop(gone)]
    case .resting:
      guard !untried.isEmpty else { return [] }
      attempts.cutRestShort()
      _ = attempts.begin(now: now)
      return tryNext(now: now)
    }
  }

  /// What is tried and still an address goes on.
  private mutating func resolvedInPass(hadUntried: Bool, now: Int64) -> [BalancerAction] {
    let known = Set(addresses ?? [])
    let (latest, gone) = (pending.last, pending.filter { !known.contains($0) })
    pending.removeAll { !known.contains($0) }
    let drops = gone.map { BalancerAction.drop($0) }
    if pending.isEmpty, tried.isSuperset(of: known) { tried = [] }
    if pending.last != latest || pending.isEmpty { return drops + tryNext(now: now) }
    if hadUntried || untried.isEmpty { return drops }
    return drops + [.wake(nil, after: max(0, nextStart - now))]
  }

  mutating func resolutionFailed(_ reason: String, now: Int64, spread: Double) -> [BalancerAction] {
    guard addresses == nil, attempts.state == .connecting else { return [] }
    lastError = reason
    return [.wake(nil, after: attempts.failed(now: now, spread: spread))]
  }

  /// The first one of a pass wins: the others are given up.
  mutating func connected(_ address: ServerAddress, now: Int64) -> [BalancerAction] {
    guard pending.contains(address) else { return [] }
    attempts.connected(now: now)
    selected = address
    let others = pending.filter { $0 != address }
    pending = []
    return others.map { .drop($0) }
  }

  mutating func failed(
    _ address: ServerAddress, _ reason: String, now: Int64, spread: Double
  ) -> [BalancerAction] {
    guard let index = pending.firstIndex(of: address) else { return [] }
    let wasLatest = index == pending.count - 1
    pending.remove(at: index)
    lastError = (addresses?.count ?? 0) > 1 ? "\(address): \(reason)" : reason
    // The failure of an earlier one changes nothing: the next one's time was set by the latest.
    let next = wasLatest ? tryNext(now: now) : []
    guard next.isEmpty, pending.isEmpty else { return next }
    return [.wake(nil, after: attempts.failed(now: now, spread: spread)), .resolve]
  }

  mutating func lost(
    _ address: ServerAddress, _ wasUseful: Bool, now: Int64, spread: Double
  ) -> [BalancerAction] {
    guard address == selected else { return [] }
    attempts.lost(wasUseful, now: now, spread: spread)
    selected = nil
    isStale = true
    return []
  }

  mutating func woke(_ address: ServerAddress?, now: Int64) -> [BalancerAction] {
    if attempts.state == .connecting {
      // Not due yet: it was asked for by an attempt that has failed since, or in an earlier pass.
      return pending.isEmpty || now < nextStart ? [] : tryNext(now: now)
    }
    _ = attempts.restEnded(now: now)
    return []
  }

  mutating func stop() {
    attempts.stop()
    pending = []
    selected = nil
    isStale = true
  }
}
