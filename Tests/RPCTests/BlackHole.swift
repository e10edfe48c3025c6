import Glibc
import RPC

/// An address at which nobody answers: the backlog of its listener is full, so the kernel drops what asks to connect,
/// as a network without a way there would.
final class BlackHole {
  struct Failure: Error { let errno: Int32 }

  private let listener: Int32
  private let callers: [Int32]
  let address: ServerAddress

  init() throws {
    let listener = Self.socket()
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutableBytes(of: &name) { bytes in
      guard let name = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return false }
      return bind(listener, name, length) == 0 && listen(listener, 0) == 0 && getsockname(listener, name, &length) == 0
    }
    guard isListening else { throw Failure(errno: errno) }
    // The first is taken in, and nobody accepts it; the others see to it that this does not depend on how a backlog
    // of none is counted.
    callers = withUnsafeBytes(of: &name) { bytes in
      (0..<4).map { _ in
        let caller = Self.socket()
        _ = connect(caller, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), length)
        return caller
      }
    }
    self.listener = listener
    address = .ip("127.0.0.1", port: Int(UInt16(bigEndian: name.sin_port)))
    var first = pollfd(fd: callers[0], events: Int16(POLLOUT), revents: 0)
    guard poll(&first, 1, 10_000) == 1 else { throw Failure(errno: errno) }
  }

  deinit { for descriptor in callers + [listener] { close(descriptor) } }

  private static func socket() -> Int32 {
    Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
  }
}
