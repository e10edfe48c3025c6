import Glibc
import HTTP2
import NIOCore
import NIOPosix
import Synchronization

/// A client's connections: at most one takes new calls, older ones finish theirs.
///
/// `@unchecked Sendable`: all but `inbox` and the constants is only touched on `loop`.
final class ClientChannel: @unchecked Sendable {
  let loop: any EventLoop
  let host: String
  let port: Int
  let authority: String
  let options: ClientOptions

  private var connectivity: Connectivity
  private var current: ClientConnection?
  private var retiring: [ObjectIdentifier: ClientConnection] = [:]
  private var attempt: ClientConnection?
  private var waiting: [ClientCall] = []
  private var closing: [UnsafeContinuation<Void, Never>] = []

  private struct Submission {
    let call: ClientCall
    let continuation: UnsafeContinuation<ByteBuffer, any Error>?
  }
  /// Calls from other threads, taken over all at once.
  private let inbox = Mutex<[Submission]>([])

  init(host: String, port: Int, options: ClientOptions, loop: any EventLoop) {
    self.loop = loop
    self.host = host
    self.port = port
    self.options = options
    authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    connectivity = Connectivity(
      minimumBackoff: options.minimumBackoff.nanoseconds, maximumBackoff: options.maximumBackoff.nanoseconds)
  }

  // MARK: - Calls

  /// From any thread.
  func submit(_ call: ClientCall, _ continuation: UnsafeContinuation<ByteBuffer, any Error>? = nil) {
    if loop.inEventLoop { return take(Submission(call: call, continuation: continuation)) }
    let isFirst = inbox.withLock { inbox in
      inbox.append(Submission(call: call, continuation: continuation))
      return inbox.count == 1
    }
    if isFirst { loop.execute { self.takeInbox() } }
  }

  private func takeInbox() {
    let submissions = inbox.withLock { inbox in
      defer { inbox = [] }
      return inbox
    }
    for submission in submissions { take(submission) }
  }

  private func take(_ submission: Submission) {
    submission.call.arrived(submission.continuation)
    start(submission.call)
  }

  func start(_ call: ClientCall) {
    guard !call.isOver else { return }
    if let problem = call.metadata.problem {
      return call.finish(Status(.internalError, "the metadata cannot be sent: \(problem)"))
    }
    switch connectivity.callArrived(waitsForReady: call.waitsForReady, now: Deadline.now) {
    case .start: current?.start(call)
    case .wait(let connect):
      waiting.append(call)
      if connect { self.connect() }
    case .fail:
      let isClosed = connectivity.state == .closed
      call.finish(isClosed ? Self.closedStatus : unreachable)
    }
  }

  private static let closedStatus = Status(.unavailable, "the client was closed")
  private var unreachable: Status { Status(.unavailable, "\(authority) cannot be reached: \(connectivity.lastError)") }

  // MARK: - Connecting

  private func connect() {
    let bootstrap = ClientBootstrap(group: loop)
      .connectTimeout(options.connectTimeout.timeAmount)
      .channelOption(.socketOption(.tcp_nodelay), value: 1)
      .channelOption(.maxMessagesPerRead, value: 8)
      .channelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 8192, maximum: 65536)
      )
      .channelOption(.writeBufferWaterMark, value: .init(low: 64 * 1024, high: 512 * 1024))
      .channelInitializer { [weak self] channel in
        channel.eventLoop.makeCompletedFuture {
          guard let self else { throw ChannelError.inputClosed }
          let connection = try ClientConnection(channel: self, loop: channel.eventLoop)
          try self.options.tls?.add(to: channel, serverName: self.host)
          try channel.pipeline.syncOperations.addHandler(connection)
        }
      }
    bootstrap.connect(host: host, port: port).whenComplete { [weak self] result in
      switch result {
      case .success(let channel): self?.expectSettings(channel)
      case .failure(let error): self?.attemptFailed(Self.reason(error))
      }
    }
  }

  /// A server is only there once it has spoken HTTP/2.
  private func expectSettings(_ channel: any Channel) {
    let handler = try? channel.pipeline.syncOperations.handler(type: ClientConnection.self)
    guard let connection = handler, !connection.isReady else { return }
    attempt = connection
    loop.scheduleTask(in: options.connectTimeout.timeAmount) { [weak self, weak connection] in
      guard let self, let connection, self.attempt === connection else { return }
      connection.closeNow()
    }
  }

  func becameReady(_ connection: ClientConnection) {
    guard attempt == nil || attempt === connection, connectivity.state == .connecting else {
      return connection.retire()
    }
    attempt = nil
    current = connection
    connectivity.connected()
    let calls = waiting
    waiting = []
    for call in calls { start(call) }
  }

  private func attemptFailed(_ reason: String) {
    attempt = nil
    let spread = Double.random(in: -1...1)
    guard connectivity.state == .connecting else { return }
    let rest = connectivity.attemptFailed(reason, now: Deadline.now, spread: spread)
    let calls = waiting
    waiting = calls.filter { $0.waitsForReady && !$0.isOver }
    for call in calls where !call.waitsForReady { call.finish(unreachable) }
    loop.scheduleTask(in: .nanoseconds(rest)) { [weak self] in self?.restEnded() }
  }

  private func restEnded() {
    waiting.removeAll { $0.isOver }
    if connectivity.restEnded(callsWait: !waiting.isEmpty) { connect() }
  }

  private static func reason(_ error: any Error) -> String {
    guard let connection = error as? NIOConnectionError else { return text(error) }
    if let first = connection.connectionErrors.first { return text(first.error) }
    return text(connection.dnsAAAAError ?? connection.dnsAError ?? connection)
  }

  /// The system's own words for an error of a socket: NIO's add where in NIO it came up.
  private static func text(_ error: any Error) -> String {
    (error as? IOError).map { String(cString: strerror($0.errnoCode)).lowercased() } ?? "\(error)"
  }

  // MARK: - The end of a connection

  /// It takes no more calls.
  func retired(_ connection: ClientConnection) {
    guard connection === current else { return }
    current = nil
    retiring[ObjectIdentifier(connection)] = connection
    if connectivity.lost(callsWait: !waiting.isEmpty) { connect() }
  }

  func closed(_ connection: ClientConnection, reason: String) {
    retiring[ObjectIdentifier(connection)] = nil
    if connection === attempt { attemptFailed(reason) }
    finishClosing()
  }

  /// Takes no more calls. From the loop.
  /// - Parameter aborting: End those under way; otherwise they finish.
  func close(aborting: Bool) {
    connectivity.close()
    let calls = waiting
    waiting = []
    for call in calls { call.finish(Self.closedStatus) }
    attempt?.closeNow()
    if let connection = current {
      retiring[ObjectIdentifier(connection)] = connection
      current = nil
    }
    for connection in Array(retiring.values) {
      if aborting { connection.abort(Self.closedStatus) } else { connection.retire() }
    }
    finishClosing()
  }

  func closeAndWait() async {
    await withUnsafeContinuation { continuation in
      loop.execute {
        self.closing.append(continuation)
        self.close(aborting: true)
      }
    }
  }

  private func finishClosing() {
    guard connectivity.state == .closed, retiring.isEmpty else { return }
    let waiting = closing
    closing = []
    for continuation in waiting { continuation.resume() }
  }
}
