import NIOCore

/// What a peer's TCP has acknowledged, in the kernel's `struct tcp_info` (linux/tcp.h) as far as it is needed here.
///
/// What the socket has taken would not tell how fast a peer reads: the kernel holds megabytes, and reports room only
/// once a third of them has gone.
struct TCPProgress: Sendable {
  private let before: (UInt64, UInt64, UInt64) = (0, 0, 0)
  /// `tcpi_unacked`: segments that are on their way.
  let unacknowledged: UInt32 = 0
  private let between:
    (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    )
  /// `tcpi_bytes_acked`; zero before Linux 4.1.
  let acknowledged: UInt64 = 0
  private let behind: (UInt64, UInt64) = (0, 0)
  /// `tcpi_notsent_bytes`: those that the peer has no room for; zero before Linux 4.6.
  let unsent: UInt32 = 0

  /// The peer's TCP has not got all that was written, or not the end of it.
  var isOwed: Bool { unacknowledged > 0 || unsent > 0 }

  /// Calls `body` with what is so now: on the channel's loop at once; not at all for another socket.
  static func read(_ channel: any Channel, _ body: @escaping @Sendable (TCPProgress) -> Void) {
    #if os(Linux)
    guard let provider = channel as? any SocketOptionProvider else { return }
    let info: EventLoopFuture<TCPProgress> = provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info)
    info.whenSuccess(body)
    #endif
  }
}
