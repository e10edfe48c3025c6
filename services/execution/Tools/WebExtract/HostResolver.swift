#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif
import NIOPosix
import Synchronization

/// Looks names up with the system's resolver, on a blocking thread. Pointers stay in this file.
enum HostResolver {
  /// Every address of a name, IPv4 first. Throws `HOST_NOT_FOUND`; returns at once when the task is cancelled, though
  /// the system's own call cannot be interrupted and ends on its thread later.
  static func addresses(of host: String) async throws -> [IPAddress] {
    let answer = OneAnswer()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        guard answer.wait(continuation) else { return }
        NIOThreadPool.singleton.submit { _ in answer.give(Result { try lookUp(host) }) }
      }
    } onCancel: {
      answer.give(.failure(CancellationError()))
    }
  }

  /// Resumes its continuation exactly once, with whichever result comes first.
  private final class OneAnswer: Sendable {
    private enum State {
      case empty
      case waiting(CheckedContinuation<[IPAddress], any Error>)
      case answered(Result<[IPAddress], any Error>)
    }
    private let state = Mutex(State.empty)

    /// False if the answer was there already and has been handed over.
    func wait(_ continuation: CheckedContinuation<[IPAddress], any Error>) -> Bool {
      let early: Result<[IPAddress], any Error>? = state.withLock { state in
        if case .answered(let result) = state { return result }
        state = .waiting(continuation)
        return nil
      }
      if let early { continuation.resume(with: early) }
      return early == nil
    }

    func give(_ result: Result<[IPAddress], any Error>) {
      let waiting: CheckedContinuation<[IPAddress], any Error>? = state.withLock { state in
        defer { if case .answered = state {} else { state = .answered(result) } }
        if case .waiting(let continuation) = state { return continuation }
        return nil
      }
      waiting?.resume(with: result)
    }
  }

  private static func lookUp(_ host: String) throws -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0, let first = list else { throw WebError.notFound(host) }
    defer { freeaddrinfo(first) }
    var found: [IPAddress] = []
    for entry in sequence(first: first, next: { $0.pointee.ai_next }) {
      guard let address = address(entry.pointee.ai_addr), !found.contains(address) else { continue }
      found.append(address)
    }
    guard !found.isEmpty else { throw WebError.notFound(host) }
    return found.filter { if case .v4 = $0 { true } else { false } }
      + found.filter { if case .v6 = $0 { true } else { false } }
  }

  private static func address(_ pointer: UnsafeMutablePointer<sockaddr>?) -> IPAddress? {
    guard let pointer else { return nil }
    switch Int32(pointer.pointee.sa_family) {
    case AF_INET:
      return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
      }
    case AF_INET6:
      return pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { v6($0.pointee.sin6_addr) }
    default: return nil
    }
  }

  private static func v6(_ address: in6_addr) -> IPAddress {
    withUnsafeBytes(of: address) { bytes in
      func half(_ offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 << 8 | UInt64(bytes[offset + $1]) } }
      return .v6(high: half(0), low: half(8))
    }
  }

  /// An IPv6 address as written between brackets; nil if it is none.
  static func literal6(_ text: String) -> IPAddress? {
    var address = in6_addr()
    return text.contains(":") && inet_pton(AF_INET6, text, &address) == 1 ? v6(address) : nil
  }
}
