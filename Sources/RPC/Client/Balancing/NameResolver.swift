import Glibc
import NIOPosix

/// Finds the addresses that a name has at the moment.
public protocol NameResolver: Sendable {
  /// All addresses of a host, in the order in which they are to be tried; pick first lets IPv6 and IPv4 take turns.
  /// - Throws: Anything: the reason is shown to callers. The addresses known from before stay in use.
  func addresses(of host: String, port: Int) async throws -> [ServerAddress]
}

/// The system's resolver (`getaddrinfo`: /etc/hosts, DNS …), asked on a thread that may block.
public struct SystemResolver: NameResolver {
  public init() {}

  public func addresses(of host: String, port: Int) async throws -> [ServerAddress] {
    let found = try await NIOThreadPool.singleton.runIfActive { try Self.lookUp(host) }
    return ServerAddress.interleaved(found.map { .ip($0, port: port) })
  }

  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  /// Blocks.
  private static func lookUp(_ host: String) throws -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_family = AF_UNSPEC
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0 else { throw Failure(description: String(cString: gai_strerror(code)).lowercased()) }
    defer { freeaddrinfo(list) }
    return numbers(list)
  }

  private static func numbers(_ first: UnsafeMutablePointer<addrinfo>?) -> [String] {
    var result: [String] = []
    var next = first
    while let entry = next?.pointee {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      let code = getnameinfo(
        entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
      if code == 0 {
        result.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
      }
      next = entry.ai_next
    }
    return result
  }
}
