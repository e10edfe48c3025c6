import Hummingbird
import Logging
import NIOCore
import NIOPosix
import RPC
import ServiceKit
import Synchronization

/// What all WebSockets of the gateway share: who may open one, how many there are, and the feeds they watch.
final class WebSockets: Sendable {
  static let path = "/ws"

  struct Options: Sendable {
    /// How many are open at once; more are refused with 503.
    var maximumSockets = 2048
    /// How many things one connection may watch at once.
    var maximumSubscriptions = 64
    /// In bytes: the largest frame, and the largest message of several frames, that a client may send.
    var maximumFrame = 64 << 10
    /// In bytes: what may wait to be sent on one connection. A watcher that has so much to read gets nothing more until
    /// it has read.
    var watcherBytes = 256 << 10
    /// A ping goes out this often; a peer that answers none of two is gone.
    var heartbeat: Duration = .seconds(15)
    /// How long the peer has to answer a close frame.
    var closeTimeout: Duration = .seconds(1)
  }

  let options: Options
  let hostGuard: HostGuard
  let feeds: EventFeeds
  let upstreams: Upstreams
  let metrics: GatewayMetrics
  let logger: Logger
  private let open = Atomic<Int>(0)
  private let loops = Mutex<[ObjectIdentifier: SocketLoop]>([:])

  init(
    options: Options, hostGuard: HostGuard, feeds: EventFeeds, upstreams: Upstreams, metrics: GatewayMetrics,
    logger: Logger
  ) {
    self.options = options
    self.hostGuard = hostGuard
    self.feeds = feeds
    self.upstreams = upstreams
    self.metrics = metrics
    self.logger = logger
  }

  /// Counts one more.
  /// - Throws: `GatewayError` 503 where there are too many.
  func admit() throws {
    guard open.add(1, ordering: .relaxed).newValue <= options.maximumSockets else {
      dismiss()
      throw GatewayError(
        status: .serviceUnavailable, code: Status.Code.resourceExhausted.name,
        message: "Too many WebSockets are open; try again later.", headers: [.retryAfter: "1"])
    }
  }

  /// Counts one less.
  func dismiss() { open.subtract(1, ordering: .relaxed) }

  /// How many are open at this moment.
  var count: Int { open.load(ordering: .relaxed) }

  /// Bounds what waits to be sent: here, and in the kernel.
  func configure(_ channel: any Channel) throws {
    let high = max(options.watcherBytes / 4, options.watcherBytes - FeedReader.pieceBytes * 3 / 2)
    let settings = channel.syncOptions
    try settings?.setOption(
      ChannelOptions.writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: high / 2, high: high))
    try settings?.setOption(ChannelOptions.socketOption(.so_sndbuf), value: .init(options.watcherBytes))
    try settings?.setOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
  }

  /// What the connections of one event loop share.
  func loop(_ loop: any EventLoop) -> SocketLoop {
    loops.withLock { loops in
      if let known = loops[ObjectIdentifier(loop)] { return known }
      let new = SocketLoop(loop: loop, sockets: self)
      loops[ObjectIdentifier(loop)] = new
      return new
    }
  }
}
