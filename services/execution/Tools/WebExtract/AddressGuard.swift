/// Tells addresses that anyone on the internet can reach from those that only this machine or its network can. Pages
/// are fetched from the former only: otherwise whoever submits a mission could read a cloud's metadata service, a
/// database's admin page or whatever else trusts its neighbours (server-side request forgery).
///
/// Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
enum AddressGuard {
  /// Why the address must not be fetched from; nil if it may.
  static func refusal(_ address: IPAddress) -> String? {
    switch address {
    case .v4(let value): v4(value)
    case .v6(let high, let low): v6(high, low)
    }
  }

  private static let blocks4: [(base: UInt32, bits: UInt32, reason: String)] = [
    (0x0000_0000, 8, "an address of this network"), (0x0A00_0000, 8, "a private address"),
    (0x6440_0000, 10, "an address of a carrier's private network"), (0x7F00_0000, 8, "this machine itself"),
    (0xA9FE_0000, 16, "a link-local address, where cloud metadata is served"), (0xAC10_0000, 12, "a private address"),
    (0xC000_0000, 24, "a reserved address"), (0xC000_0200, 24, "an address for documentation"),
    (0xC058_6300, 24, "a reserved address"), (0xC0A8_0000, 16, "a private address"),
    (0xC612_0000, 15, "an address for benchmarks"), (0xC633_6400, 24, "an address for documentation"),
    (0xCB00_7100, 24, "an address for documentation"), (0xE000_0000, 4, "a multicast address"),
    (0xF000_0000, 4, "a reserved address"),
  ]

  private static func v4(_ value: UInt32) -> String? {
    blocks4.first { value >> (32 - $0.bits) == $0.base >> (32 - $0.bits) }?.reason
  }

  private static func v6(_ high: UInt64, _ low: UInt64) -> String? {
    // IPv4 addresses in IPv6 clothes are judged by what they carry: mapped, NAT64, 6to4.
    if high == 0, low >> 32 == 0xFFFF { return v4(UInt32(truncatingIfNeeded: low)) }
    if high == 0x0064_FF9B_0000_0000, low >> 32 == 0 { return v4(UInt32(truncatingIfNeeded: low)) }
    if high >> 48 == 0x2002 { return v4(UInt32(truncatingIfNeeded: high >> 16)) ?? "a 6to4 address" }
    if high == 0, low == 1 { return "this machine itself" }
    if high >> 57 == 0xFC >> 1 { return "a private address" }
    if high >> 54 == 0xFE80 >> 6 { return "a link-local address" }
    if high >> 56 == 0xFF { return "a multicast address" }
    // Only 2000::/3 is handed out for general use.
    guard high >> 61 == 0b001 else { return "a reserved address" }
    let reserved: [(base: UInt64, bits: UInt64)] = [
      (0x2001_0000_0000_0000, 23), (0x2001_0DB8_0000_0000, 32), (0x3FFF_0000_0000_0000, 20),
    ]
    return reserved.contains { high >> (64 - $0.bits) == $0.base >> (64 - $0.bits) } ? "a reserved address" : nil
  }
}

/// An IP address as its bits.
enum IPAddress: Hashable, Sendable, CustomStringConvertible {
  case v4(UInt32)
  case v6(high: UInt64, low: UInt64)

  /// The usual spelling; IPv6 without compression, which every parser takes.
  var description: String {
    switch self {
    case .v4(let value): return (0..<4).map { String(value >> (24 - 8 * UInt32($0)) & 0xFF) }.joined(separator: ".")
    case .v6(let high, let low):
      let groups = [high, low].flatMap { half in (0..<4).map { half >> (48 - 16 * UInt64($0)) & 0xFFFF } }
      return groups.map { String($0, radix: 16) }.joined(separator: ":")
    }
  }

  /// Every spelling of an IPv4 address that resolvers take: `127.0.0.1`, `127.1`, `2130706433`, `0x7f.0.0.1`,
  /// `0177.0.0.1` (WHATWG URL, "IPv4 parser"). Nil if it is a name. Throws `BAD_URL` if it ends in a number but is no
  /// address.
  static func loose4(_ host: String) throws -> IPAddress? {
    var parts = host.split(separator: ".", omittingEmptySubsequences: false)
    if parts.last == "" { parts.removeLast() }
    guard let last = parts.last, number(last) != nil || (!last.isEmpty && last.allSatisfy(\.isNumber)) else {
      return nil
    }
    let numbers = parts.map(number)
    guard parts.count <= 4, !numbers.contains(nil) else { throw WebError.badURL(host) }
    let values = numbers.compactMap { $0 }
    guard values.dropLast().allSatisfy({ $0 <= 255 }), let tail = values.last,
      tail < 1 << (8 * UInt64(5 - values.count))
    else {
      throw WebError.badURL(host)
    }
    let head = values.dropLast().enumerated().reduce(UInt64(0)) { $0 + $1.element << (24 - 8 * UInt64($1.offset)) }
    return .v4(UInt32(head + tail))
  }

  private static func number(_ text: Substring) -> UInt64? {
    let lower = text.lowercased()
    if lower.hasPrefix("0x") { return lower.count == 2 ? 0 : UInt64(lower.dropFirst(2), radix: 16) }
    if lower.count > 1, lower.hasPrefix("0") { return UInt64(lower.dropFirst(), radix: 8) }
    return lower.first?.isNumber == true ? UInt64(lower) : nil
  }
}
