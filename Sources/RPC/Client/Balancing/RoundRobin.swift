/// Every address has its connection and its own rests; calls take turns among the ready ones. Lost connections are made
/// again at once, failed ones after their rest, without a call asking for it, until the client has long been unused.
struct RoundRobin: Balancer {
  private struct Entry {
    let address: ServerAddress
    var attempts: Reconnection
    /// Since it was last ready. Such an address counts as failed while it is tried again, so that calls need not wait
    /// for what most likely fails once more.
    var hasFailed = false
  }

  private var entries: [Entry] = []
  private let fresh: Reconnection
  /// Of the name's resolution, until there are addresses.
  private var resolution: Reconnection
  private var isActive = false
  /// Nobody asked for the addresses for long.
  private var isStale = false
  private(set) var lastError = ""
  private let connectTimeout: Int64

  init(addresses: [ServerAddress]?, attempts: Reconnection, connectTimeout: Int64) {
    fresh = attempts
    resolution = attempts
    self.connectTimeout = connectTimeout
    entries = Self.unique(addresses ?? []).map { Entry(address: $0, attempts: attempts) }
  }

  var state: Connectivity {
    guard isActive else { return .idle }
    guard !entries.isEmpty else { return resolution.isResting ? .transientFailure : .connecting }
    if entries.contains(where: { $0.attempts.isReady }) { return .ready }
    return entries.contains { !$0.hasFailed } ? .connecting : .transientFailure
  }

  mutating func connect(now: Int64) -> [BalancerAction] {
    guard !isActive else { return [] }
    isActive = true
    guard entries.isEmpty else { return (isStale ? [.resolve] : []) + connectIdle(now: now) }
    _ = resolution.begin(now: now)
    return [.resolve]
  }

  private mutating func connectIdle(now: Int64) -> [BalancerAction] {
    guard isActive else { return [] }
    return entries.indices.compactMap { index in
      entries[index].attempts.begin(now: now).map {
        .connect(entries[index].address, after: $0, timeout: connectTimeout)
      }
    }
  }

  mutating func resolved(_ addresses: [ServerAddress], now: Int64) -> [BalancerAction] {
    let gone = entries.map(\.address).filter { !addresses.contains($0) }
    let known = Dictionary(uniqueKeysWithValues: entries.map { ($0.address, $0) })
    entries = Self.unique(addresses).map { known[$0] ?? Entry(address: $0, attempts: fresh) }
    resolution.stop()
    isStale = false
    return gone.map { .drop($0) } + connectIdle(now: now)
  }

  mutating func resolutionFailed(_ reason: String, now: Int64, spread: Double) -> [BalancerAction] {
    guard entries.isEmpty, isActive else { return [] }
    lastError = reason
    return [.wake(nil, after: resolution.failed(now: now, spread: spread))]
  }

  mutating func connected(_ address: ServerAddress, now: Int64) -> [BalancerAction] {
    guard let index = index(of: address) else { return [] }
    entries[index].attempts.connected(now: now)
    entries[index].hasFailed = false
    return []
  }

  mutating func failed(
    _ address: ServerAddress, _ reason: String, now: Int64, spread: Double
  ) -> [BalancerAction] {
    guard let index = index(of: address), isActive else { return [] }
    lastError = entries.count > 1 ? "\(address): \(reason)" : reason
    entries[index].hasFailed = true
    return [.wake(address, after: entries[index].attempts.failed(now: now, spread: spread)), .resolve]
  }

  mutating func lost(
    _ address: ServerAddress, _ wasUseful: Bool, now: Int64, spread: Double
  ) -> [BalancerAction] {
    guard let index = index(of: address) else { return [] }
    entries[index].attempts.lost(wasUseful, now: now, spread: spread)
    return connectIdle(now: now) + (isActive ? [.resolve] : [])
  }

  mutating func woke(_ address: ServerAddress?, now: Int64) -> [BalancerAction] {
    guard let address else {
      guard isActive, resolution.restEnded(now: now) else { return [] }
      _ = resolution.begin(now: now)
      return [.resolve]
    }
    guard let index = index(of: address), entries[index].attempts.restEnded(now: now) else { return [] }
    return connectIdle(now: now)
  }

  mutating func stop() {
    isActive = false
    isStale = true
    resolution.stop()
    for index in entries.indices {
      entries[index].attempts.stop()
      entries[index].hasFailed = false
    }
  }

  private static func unique(_ addresses: [ServerAddress]) -> [ServerAddress] {
    var seen: Set<ServerAddress> = []
    return addresses.filter { seen.insert($0).inserted }
  }

  private func index(of address: ServerAddress) -> Int? { entries.firstIndex { $0.address == address } }
}
