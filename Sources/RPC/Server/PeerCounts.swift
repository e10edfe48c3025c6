/// Where a connection comes from, as far as its limit goes: an IPv4 address, or the first half of an IPv6 address,
/// since whoever has one of those has all 2^64 of it.
struct PeerKey: Hashable {
  private let text: Substring

  /// - Parameter address: As `inet_ntop` writes it; nil for a Unix socket.
  init?(ipAddress address: String?) {
    guard let address else { return nil }
    if address.hasPrefix("::ffff:"), address.contains(".") {
      text = address.dropFirst(7)  // an IPv4 peer of a socket that listens on both
    } else if address.contains(":") {
      text = Substring(Self.groups(of: address).prefix(4).joined(separator: ":"))
    } else {
      text = Substring(address)
    }
  }

  /// The eight groups of an IPv6 address, with those that `::` stands for.
  private static func groups(of address: String) -> [Substring] {
    let groups = address.split(separator: ":", omittingEmptySubsequences: false)
    guard let gap = groups.dropFirst().firstIndex(of: "") else { return groups }
    let left = groups[..<gap].filter { !$0.isEmpty }
    let right = groups[gap...].filter { !$0.isEmpty }
    return left + Array(repeating: "0", count: max(0, 8 - left.count - right.count)) + right
  }
}

/// How many connections each peer has open.
struct PeerCounts {
  private var counts: [PeerKey: Int] = [:]

  /// - Returns: False when there are `limit` already.
  mutating func add(_ key: PeerKey?, limit: Int) -> Bool {
    guard let key else { return true }
    let count = counts[key] ?? 0
    guard count < limit else { return false }
    counts[key] = count + 1
    return true
  }

  mutating func remove(_ key: PeerKey?) {
    guard let key, let count = counts[key] else { return }
    counts[key] = count > 1 ? count - 1 : nil
  }
}
