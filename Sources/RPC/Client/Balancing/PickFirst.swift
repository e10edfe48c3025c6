/// The first address that connects takes all calls. Its connection lost, the client is idle; the next call starts a new
/// pass over the addresses from the beginning. When a whole pass has failed, the client rests.
struct PickFirst: Balancer {
  /// An attempt gets at least this much of a pass's time, however many addresses there are: 1 s.
  static let minimumShare: Int64 = 1_000_000_000

  /// Nil until the name was first resolved.
  private var addresses: [ServerAddress]?
  private var attempts: Reconnection
  /// In this pass.
  private var tried: Set<ServerAddress> = []
  /// Tried right now, or in use.
  private(set) var selected: ServerAddress?
  /// The addresses may have changed: a connection was lost since they were last asked for, or nobody asked for long.
  private var isStale = false
  private(set) var lastError = ""
  private let connectTimeout: Int64

  init(addresses: [ServerAddress]?, attempts: Reconnection, connectTimeout: Int64) {
    self.addresses = addresses
    self.attempts = attempts
    self.connectTimeout = connectTimeout
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
    return (isStale ? [.resolve] : []) + tryNext(after: delay)
  }

  /// The next address of this pass, if one is left.
  private mutating func tryNext(after delay: Int64 = 0) -> [BalancerAction] {
    let left = (addresses ?? []).filter { !tried.contains($0) }
    selected = left.first
    guard let selected else { return [] }
    tried.insert(selected)
    let share = max(connectTimeout / Int64(left.count), min(Self.minimumShare, connectTimeout))
    return [.connect(selected, after: delay, timeout: share)]
  }

  mutating func resolved(_ addresses: [ServerAddress], now: Int64) -> [BalancerAction] {
    self.addresses = addresses
    isStale = false
    switch attempts.state {
    case .idle: return []
    case .connecting:
      guard let selected else { return tryNext() }
      if addresses.contains(selected) { return [] }
      if tried.isSuperset(of: addresses) { tried = [] }
      return [.drop(selected)] + tryNext()
    case .ready:
      guard let gone = selected, !addresses.contains(gone) else { return [] }
      attempts.stop()
      selected = nil
      return [.drop(gone)]
    case .resting:
      guard addresses.contains(where: { !tried.contains($0) }) else { return [] }
      attempts.cutRestShort()
      _ = attempts.begin(now: now)
      return tryNext()
    }
  }

  mutating func resolutionFailed(_ reason: String, now: Int64, spread: Double) -> [BalancerAction] {
    guard addresses == nil, attempts.state == .connecting else { return [] }
    lastError = reason
    return [.wake(nil, after: attempts.failed(now: now, spread: spread))]
  }

  mutating func connected(_ address: ServerAddress, now: Int64) {
    if address == selected { attempts.connected(now: now) }
  }

  mutating func failed(
    _ address: ServerAddress, _ reason: String, now: Int64, spread: Double
  ) -> [BalancerAction] {
    guard address == selected, attempts.state == .connecting else { return [] }
    lastError = (addresses?.count ?? 0) > 1 ? "\(address): \(reason)" : reason
    let next = tryNext()
    guard next.isEmpty else { return next }
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

  mutating func restEnded(_ address: ServerAddress?, now: Int64) -> [BalancerAction] {
    _ = attempts.restEnded(now: now)
    return []
  }

  mutating func stop() {
    attempts.stop()
    selected = nil
    isStale = true
  }
}
