import NIOCore

/// What a client connects to.
public enum Target: Sendable, Hashable {
  /// A name, of which all addresses are used as `ClientOptions.loadBalancing` says, or one IPv4 or IPv6 address.
  case host(String, port: Int)
  /// Addresses that are known and do not change.
  case addresses([ServerAddress])
  /// A server on this machine, by the path of its socket (at most 107 bytes).
  case unixSocket(path: String)

  /// What requests say they are for (`:authority`), unless `ClientOptions.authority` says otherwise.
  var authority: String {
    switch self {
    case .host(let host, let port): ServerAddress.ip(host, port: port).description
    case .addresses(let addresses): if case .ip? = addresses.first { "\(addresses[0])" } else { "localhost" }
    case .unixSocket: "localhost"
    }
  }

  /// The addresses, where no name has to be resolved.
  var fixedAddresses: [ServerAddress]? {
    switch self {
    case .host(let host, let port):
      (try? SocketAddress(ipAddress: host, port: 0)) == nil ? nil : [.ip(host, port: port)]
    case .addresses(let addresses): addresses
    case .unixSocket(let path): [.unixSocket(path: path)]
    }
  }
}

/// One address that a server may listen on.
public enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
  /// An IPv4 or IPv6 address, not a name.
  case ip(String, port: Int)
  case unixSocket(path: String)

  public var description: String {
    switch self {
    case .ip(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unixSocket(let path): "unix:\(path)"
    }
  }

  /// - Throws: When the text is no IP address, the port no port, or the path too long.
  func socketAddress() throws -> SocketAddress {
    switch self {
    case .ip(let host, let port):
      guard UInt16(exactly: port) != nil else { throw BadPort(port: port) }
      return try SocketAddress(ipAddress: host, port: port)
    case .unixSocket(let path): return try SocketAddress(unixDomainSocketPath: path)
    }
  }

  /// NIO keeps the low 16 bits of some numbers, and traps on others.
  struct BadPort: Error, CustomStringConvertible {
    let port: Int
    var description: String { "\(port) is not a port (0 to 65535)" }
  }

  private var isIPv6: Bool { if case .ip(let host, _) = self { host.contains(":") } else { false } }

  /// Takes turns between IPv6 and IPv4, each in its order, beginning with the first one's family, so that one family
  /// that does not work costs one attempt (RFC 8305 §4). Says each address once.
  static func interleaved(_ addresses: [ServerAddress]) -> [ServerAddress] {
    var seen: Set<ServerAddress> = []
    let unique = addresses.filter { seen.insert($0).inserted }
    guard let first = unique.first else { return [] }
    let preferred = unique.filter { $0.isIPv6 == first.isIPv6 }
    let others = unique.filter { $0.isIPv6 != first.isIPv6 }
    var result: [ServerAddress] = []
    for index in 0..<max(preferred.count, others.count) {
      if index < preferred.count { result.append(preferred[index]) }
      if index < others.count { result.append(others[index]) }
    }
    return result
  }
}
