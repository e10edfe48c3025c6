import Glibc
import NIOConcurrencyHelpers
public import NIOCore
import NIOPosix

/// Where a server listens.
public struct BoundAddress: Sendable, Hashable, CustomStringConvertible {
  /// An IP address, or `unix:` and the path of a socket.
  public let host: String
  /// 0 for a Unix domain socket.
  public let port: Int

  public var description: String {
    if unixSocketPath != nil { return host }
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

/// An address that cannot be listened on.
public struct BindError: Error, Sendable, Hashable, CustomStringConvertible {
  public let address: BoundAddress
  /// For people: "the address is already in use".
  public let reason: String
  /// Another process, or this one, listens there already.
  public let isInUse: Bool

  public var description: String { "cannot listen on \(address): \(reason)" }
}

extension BindError {
  /// - Parameter code: An `errno`.
  init(_ code: Int32, at address: BoundAddress) {
    let reason =
      switch code {
      case EADDRINUSE: "the address is already in use"
      case EADDRNOTAVAIL: "the address is none of this machine's"
      default: String(cString: strerror(code)).lowercased()
      }
    self.init(address: address, reason: reason, isInUse: code == EADDRINUSE)
  }

  fileprivate init(_ error: any Error, at address: BoundAddress) {
    switch error {
    case let error as IOError: self.init(error.errnoCode, at: address)
    case let error as SocketAddressError.UnknownHost:
      self.init(address: address, reason: error.errorDescription.lowercased(), isInUse: false)
    default: self.init(address: address, reason: "\(error)", isInUse: false)
    }
  }
}

/// A gRPC server: HTTP/2, with TLS where `ServerOptions.tls` says so. Handlers run as tasks on their connection's event
/// loop.
///
/// A handler must not block: it shares its thread with every connection of that loop.
public final class Server: Sendable {
  private let core: ServerCore
  private let group: any EventLoopGroup

  /// - Parameters:
  ///   - interceptors: Around every handler, the first outermost.
  ///   - group: The threads to serve from; the process-wide group, one thread a core, unless given.
  ///   - log: Gets a line for each connection that had to be cut off.
  public init(
    router: Router, options: ServerOptions = .init(), interceptors: [any ServerInterceptor] = [],
    group: (any EventLoopGroup)? = nil,
    log: (@Sendable (String) -> Void)? = nil
  ) {
    core = ServerCore(router: router, options: options, interceptors: interceptors, log: log)
    self.group = group ?? MultiThreadedEventLoopGroup.singleton
  }

  /// Begins to listen.
  /// - Parameter port: 0 for any that is free.
  /// - Throws: `BindError`.
  public func start(host: String, port: Int) async throws -> BoundAddress {
    let address = BoundAddress(host: host, port: port)
    guard UInt16(exactly: port) != nil else {
      throw BindError(address: address, reason: "\(ServerAddress.BadPort(port: port))", isInUse: false)
    }
    return try await listen(at: address) { try await $0.bind(host: host, port: port).get() }
  }

  /// Listens on what `bind` makes of the bootstrap.
  /// - Parameter address: What errors name.
  func listen(
    at address: BoundAddress, _ bind: (ServerBootstrap) async throws -> any Channel
  ) async throws -> BoundAddress {
    let core = core
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 8)
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 8192, maximum: 65536)
      )
      .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 * 1024, high: 512 * 1024))
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = try ServerConnection(
            core: core, loop: channel.eventLoop, address: channel.remoteAddress?.ipAddress)
          try core.add(connection)
          do {
            try core.options.tls?.add(to: channel, timeout: core.options.handshakeTimeout) {
              connection.peerIdentity = $0
            }
            try channel.pipeline.syncOperations.addHandler(connection)
          } catch {
            core.remove(connection)
            throw error
          }
        }
      }
    do {
      let channel = try await bind(bootstrap)
      guard core.listening(on: channel) else {
        try? await channel.close()
        throw BindError(address: address, reason: "the server was stopped", isInUse: false)
      }
      let local = channel.localAddress
      return BoundAddress(host: local?.ipAddress ?? address.host, port: local?.port ?? address.port)
    } catch let error as BindError {
      throw error
    } catch {
      throw BindError(error, at: address)
    }
  }

  /// Connections that are open at this moment, those that are being drained included.
  public var connectionCount: Int { core.remaining.count }

  /// Takes no new connections or calls, lets the calls under way finish, then closes every connection.
  /// - Parameter grace: After this, what still runs is cancelled, and its callers get UNAVAILABLE.
  ///   `ServerOptions.shutdownGrace` if nil.
  public func shutdown(grace: Duration? = nil) async {
    let (channels, connections) = core.stop()
    for channel in channels { try? await channel.close() }
    // Not before all that was to be done after a listener's end is done.
    for channel in channels { try? await channel.closeFuture.get() }
    for connection in connections { connection.loop.execute { connection.shutDown() } }
    let core = core
    let timer = group.next().scheduleTask(in: (grace ?? core.options.shutdownGrace).timeAmount) {
      let status = Status(.unavailable, "the server is shutting down")
      for connection in core.remaining { connection.loop.execute { connection.cutShort(status) } }
    }
    await core.untilEmpty()
    timer.cancel()
  }
}

/// What a server's connections share.
final class ServerCore: Sendable {
  let router: Router
  let options: ServerOptions
  let interceptors: [any ServerInterceptor]
  let log: (@Sendable (String) -> Void)?

  private struct State {
    var channels: [any Channel] = []
    var isStopped = false
    var connections: [ObjectIdentifier: ServerConnection] = [:]
    var peers = PeerCounts()
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = NIOLockedValueBox(State())

  init(
    router: Router, options: ServerOptions, interceptors: [any ServerInterceptor], log: (@Sendable (String) -> Void)?
  ) {
    self.router = router
    self.options = options
    self.interceptors = interceptors
    if let log {
      let limiter = LogLimiter(linesPerSecond: options.logLinesPerSecond)
      self.log = { (line: String) in
        let (isLogged, leftOut) = limiter.admit()
        if leftOut > 0 { log("\(leftOut) more lines about connections were left out") }
        if isLogged { log(line) }
      }
    } else {
      self.log = nil
    }
  }

  struct Refused: Error {}

  func listening(on channel: any Channel) -> Bool {
    state.withLockedValue { state in
      if !state.isStopped { state.channels.append(channel) }
      return !state.isStopped
    }
  }

  func add(_ connection: ServerConnection) throws {
    let isRefused = state.withLockedValue { state in
      guard !state.isStopped, state.connections.count < options.maximumConnections else { return true }
      guard state.peers.add(connection.peerKey, limit: options.maximumConnectionsPerPeer) else { return true }
      state.connections[ObjectIdentifier(connection)] = connection
      return false
    }
    if isRefused {
      log?("a connection was refused: too many are open, of all peers or of this one, or the server is stopping")
      throw Refused()
    }
  }

  func remove(_ connection: ServerConnection) {
    let waiting = state.withLockedValue { state -> [CheckedContinuation<Void, Never>] in
      if state.connections.removeValue(forKey: ObjectIdentifier(connection)) != nil {
        state.peers.remove(connection.peerKey)
      }
      guard state.connections.isEmpty else { return [] }
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  var remaining: [ServerConnection] { state.withLockedValue { Array($0.connections.values) } }

  func stop() -> ([any Channel], [ServerConnection]) {
    state.withLockedValue { state in
      state.isStopped = true
      defer { state.channels = [] }
      return (state.channels, Array(state.connections.values))
    }
  }

  func untilEmpty() async {
    await withCheckedContinuation { continuation in
      let isEmpty = state.withLockedValue { state in
        if !state.connections.isEmpty { state.waiting.append(continuation) }
        return state.connections.isEmpty
      }
      if isEmpty { continuation.resume() }
    }
  }
}
