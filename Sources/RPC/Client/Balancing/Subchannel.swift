import NIOCore
import NIOPosix

/// One address of a target: its connections that take calls, and the attempt to make one.
///
/// Holds its channel, as that holds it; `drop` and the channel's `close` part them. Belongs to the channel's loop.
/// `@unchecked Sendable`: callbacks of the bootstrap take it along, and run on that loop.
final class Subchannel: @unchecked Sendable {
  let address: ServerAddress
  let channel: ClientChannel
  private(set) var connections: [ClientConnection] = []
  private var attempt: Attempt?
  private var attempts = 0
  private var isDropped = false
  /// Of further connections: the first one's attempts are the balancer's concern.
  private var growthBackoff: Backoff
  private var growNotBefore = Int64.min

  private final class Attempt {
    let number: Int
    init(number: Int) { self.number = number }
    var connection: ClientConnection?
    var timer: Scheduled<Void>?
    /// It has taken all of its time.
    var isLate = false
  }

  init(address: ServerAddress, channel: ClientChannel) {
    self.address = address
    self.channel = channel
    growthBackoff = Backoff(channel.options)
  }

  /// A connection on which a call can be opened now.
  var connectionWithRoom: ClientConnection? {
    for connection in connections where connection.hasRoom { return connection }
    return nil
  }

  // MARK: - Connecting

  /// - Parameters:
  ///   - delay: In nanoseconds, as `timeout`.
  ///   - timeout: To connect and to hear SETTINGS.
  func connect(after delay: Int64 = 0, timeout: Int64) {
    guard attempt == nil, !isDropped else { return }
    attempts += 1
    let attempt = Attempt(number: attempts)
    self.attempt = attempt
    guard delay > 0 else { return begin(attempt, timeout: timeout) }
    attempt.timer = channel.loop.scheduleTask(in: .nanoseconds(delay)) { [weak self] in
      guard let self, let attempt = self.attempt else { return }
      self.begin(attempt, timeout: timeout)
    }
  }

  private func begin(_ attempt: Attempt, timeout: Int64) {
    let socketAddress: SocketAddress
    do {
      socketAddress = try address.socketAddress()
    } catch {
      // Not within the call that asked for it.
      return channel.loop.execute { self.failed(self.attempt, "it is no address: \(error)") }
    }
    attempt.timer = channel.loop.scheduleTask(in: .nanoseconds(timeout)) { [weak self] in
      guard let attempt = self?.attempt else { return }
      attempt.isLate = true
      attempt.connection?.giveUp("the server sent no HTTP/2 SETTINGS in time")
    }
    let number = attempt.number
    bootstrap(timeout: timeout).connect(to: socketAddress).whenFailure { [weak self] error in
      guard let self, let current = self.attempt, current.number == number else { return }
      // Late here is late with TCP already, whichever clock noticed first: NIO's or ours.
      self.failed(current, current.isLate ? Self.noAnswer : Self.reason(error))
    }
  }

  private func bootstrap(timeout: Int64) -> ClientBootstrap {
    let options = channel.options
    return ClientBootstrap(group: channel.loop)
      .connectTimeout(.nanoseconds(timeout))
      .channelOption(.socketOption(.tcp_nodelay), value: 1)
      .channelOption(.maxMessagesPerRead, value: 8)
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 8192, maximum: 65536)
      )
      .channelOption(.writeBufferWaterMark, value: .init(low: 64 * 1024, high: 512 * 1024))
      .channelInitializer { [weak self] channel in
        channel.eventLoop.makeCompletedFuture {
          guard let self, let attempt = self.attempt else { throw ChannelError.inputClosed }
          let connection = try ClientConnection(channel: self.channel, owner: self, loop: channel.eventLoop)
          attempt.connection = connection
          try options.tls?.add(to: channel, serverName: self.serverName)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
  }

  /// Whom the server's certificate should name, unless `ClientTLS.serverName` says.
  private var serverName: String {
    if case .host(let host, _) = channel.target { return host }
    if case .ip(let host, _) = address { return host }
    return "localhost"
  }

  private func failed(_ failed: Attempt?, _ reason: String) {
    guard let failed, failed === attempt else { return }
    end(failed)
    if connections.isEmpty { return channel.failed(self, reason) }
    let rest = growthBackoff.rest(spread: .random(in: -1...1))
    growNotBefore = Deadline.now + rest
    // For the calls that still wait for it then.
    channel.loop.scheduleTask(in: .nanoseconds(rest)) { [weak self] in
      guard let self, !self.isDropped else { return }
      self.channel.roomMade()
    }
  }

  private func abandonAttempt() {
    guard let attempt else { return }
    end(attempt)
    attempt.connection?.closeNow()
  }

  private func end(_ attempt: Attempt) {
    attempt.timer?.cancel()
    self.attempt = nil
  }

  /// One more connection, if that is allowed.
  /// - Returns: Whether one is on its way.
  func grow() -> Bool {
    guard connections.count < channel.options.connectionsPerAddress else { return false }
    if attempt != nil { return true }
    guard !connections.isEmpty, Deadline.now >= growNotBefore else { return false }
    connect(timeout: channel.options.connectTimeout.nanoseconds)
    return true
  }

  private static let noAnswer = "it did not answer in time"

  private static func reason(_ error: any Error) -> String {
    if let error = error as? IOError { return error.reasonText }
    if case ChannelError.connectTimeout = error { return noAnswer }
    return "\(error)"
  }

  // MARK: - What becomes of connections

  /// A server is only there once it has spoken HTTP/2.
  func becameReady(_ connection: ClientConnection) {
    guard let attempt, attempt.connection === connection else { return connection.retire() }
    end(attempt)
    growthBackoff.reset()
    connections.append(connection)
    if connections.count == 1 { channel.connected(self) } else { channel.roomMade() }
  }

  /// It takes no more calls.
  func retired(_ connection: ClientConnection) {
    guard let index = connections.firstIndex(where: { $0 === connection }) else { return }
    connections.remove(at: index)
    guard !isDropped else { return }
    // Another may take its place.
    guard connections.isEmpty else { return channel.roomMade() }
    // From here on, attempts are the balancer's concern: one that it did not ask for would confuse it.
    abandonAttempt()
    channel.lost(self, wasUseful: connection.wasUseful)
  }

  func closed(_ connection: ClientConnection, reason: String) {
    channel.closed(connection)
    gaveUp(connection, reason: reason)
  }

  /// It will not become ready, if it is not yet.
  func gaveUp(_ connection: ClientConnection, reason: String) {
    if let attempt, attempt.connection === connection { failed(attempt, reason) }
  }

  // MARK: - The end

  /// Starts no more calls here.
  func drop() {
    isDropped = true
    abandonAttempt()
    for connection in connections { connection.retire() }
  }

  /// Looks at every connection, and closes those that were idle for that many looks, save the first one.
  /// - Returns: For how many looks all of them were idle.
  func lookForIdleness(limit: Int) -> Int {
    var result = limit
    for connection in connections {
      let looks = connection.lookForIdleness()
      result = min(result, looks)
      if looks >= limit, connections.count > 1, connection !== connections[0] { connection.retire() }
    }
    return result
  }
}
