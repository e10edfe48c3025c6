import HTTP2
import NIOConcurrencyHelpers
import NIOCore

/// A client's calls on their way to a connection: the ready addresses take turns, what finds no room waits, in order.
/// Which addresses are connected to is the balancer's decision (`ClientChannel+Balancing`).
///
/// `@unchecked Sendable`: all but `inbox` and the constants is only touched on `loop`.
final class ClientChannel: @unchecked Sendable {
  let loop: any EventLoop
  let target: Target
  let authority: String
  let options: ClientOptions

  /// The addresses with at least one connection that takes calls.
  var ready: [Subchannel] = []
  private var turn = 0
  private(set) var queue = WaitingList<ClientCall>()
  /// Calls that wait for a place in a limit of the client's own.
  var held: [ObjectIdentifier: CallAdmission] = [:]
  /// Of calls that are not committed to one attempt: between two of them nothing else here knows of the call.
  var uncommitted: [ObjectIdentifier: AttemptRunner] = [:]

  // For the parts in other files.
  var balancer: any Balancer
  var subchannels: [ServerAddress: Subchannel] = [:]
  var schedule: ResolutionSchedule
  /// The resolution under way has taken too long for calls to go on waiting for it.
  var resolutionIsLate = false
  var resolveTimer: Scheduled<Void>?
  var isClosed = false
  /// As last told to observers.
  var told = Connectivity.idle
  var observers = Observers()
  /// In nanoseconds; nil for no PINGs.
  var keepaliveInterval: Int64?
  var idleCheck: Scheduled<Void>?
  var idleLooks = 0
  /// A call waited since the last look for idleness.
  var wasNeeded = false

  /// All connections that are open, those too that only finish their calls.
  private var connections: [ObjectIdentifier: ClientConnection] = [:]
  private var closing: [UnsafeContinuation<Void, Never>] = []

  private struct Submission {
    let call: ClientCall
    let continuation: UnsafeContinuation<ByteBuffer, any Error>?
  }
  /// Calls from other threads, taken over all at once.
  private let inbox = NIOLockedValueBox<[Submission]>([])

  init(target: Target, options: ClientOptions, loop: any EventLoop) {
    self.loop = loop
    self.target = target
    self.options = options
    authority = options.authority ?? target.authority
    keepaliveInterval = options.keepaliveInterval?.nanoseconds
    schedule = ResolutionSchedule(minimumInterval: options.minimumResolveInterval.nanoseconds)
    balancer = Self.balancer(for: target, options)
  }

  // MARK: - Calls

  /// From any thread.
  func submit(_ call: ClientCall, _ continuation: UnsafeContinuation<ByteBuffer, any Error>? = nil) {
    if loop.inEventLoop { return take(Submission(call: call, continuation: continuation)) }
    let isFirst = inbox.withLockedValue { inbox in
      inbox.append(Submission(call: call, continuation: continuation))
      return inbox.count == 1
    }
    if isFirst { loop.execute { self.takeInbox() } }
  }

  private func takeInbox() {
    let submissions = inbox.withLockedValue { inbox in
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
    if queue.isEmpty, let connection = pick() { return connection.start(call) }
    wait(call)
  }

  /// A connection with room, of the address whose turn it is.
  private func pick() -> ClientConnection? {
    for _ in 0..<ready.count {
      if turn >= ready.count { turn = 0 }
      defer { turn += 1 }
      if let connection = ready[turn].connectionWithRoom { return connection }
    }
    return nil
  }

  private func wait(_ call: ClientCall) {
    let state = state
    if state == .shutdown { return call.finish(Self.closedStatus) }
    if state == .transientFailure, !call.waitsForReady { return call.finish(unreachable) }
    guard queue.count < options.maximumQueuedCalls else {
      return call.finish(Status(.resourceExhausted, "\(queue.count) calls wait for \(authority) already"))
    }
    wasNeeded = true
    call.queued = (self, queue.append(call))
    if state == .ready { grow() } else if state == .idle { settle() }
  }

  /// Every connection is at its server's limit: makes one more, where one is allowed.
  private func grow() {
    for subchannel in ready where subchannel.grow() { return }
  }

  /// A stream has ended, or a connection been made: calls that wait may go.
  func roomMade() {
    guard !queue.isEmpty else { return }
    while !queue.isEmpty, let connection = pick(), let call = queue.popFirst() {
      call.queued = nil
      connection.start(call)
    }
    if !queue.isEmpty { grow() }
  }

  /// It is over before it could be sent.
  func leftQueue(_ call: ClientCall, _ place: Int) {
    call.queued = nil
    queue.remove(at: place)
  }

  /// Ends those calls that do not wait for readiness.
  func failImpatient() {
    guard !queue.isEmpty else { return }
    let status = unreachable
    for call in queue.removeAll(where: { !$0.waitsForReady }) {
      call.queued = nil
      call.finish(status)
    }
  }

  static let closedStatus = Status(.unavailable, "the client was closed")
  var unreachable: Status { Status(.unavailable, "\(authority) cannot be reached: \(balancer.lastError)") }

  // MARK: - Connections

  func opened(_ connection: ClientConnection) {
    guard !isClosed else { return connection.closeNow() }
    connections[ObjectIdentifier(connection)] = connection
  }

  func closed(_ connection: ClientConnection) {
    connections[ObjectIdentifier(connection)] = nil
    finishClosing()
  }

  /// The server has had too many PINGs: the connections to come send half as many (gRFC A8).
  func pingLess() { keepaliveInterval = keepaliveInterval.map { min($0, .max / 2) * 2 } }

  // MARK: - The end

  /// Takes no more calls. From the loop.
  /// - Parameter aborting: End those under way; otherwise they finish.
  func close(aborting: Bool) {
    isClosed = true
    resolveTimer?.cancel()
    idleCheck?.cancel()
    for call in queue.removeAll(where: { _ in true }) {
      call.queued = nil
      call.finish(Self.closedStatus)
    }
    for admission in Array(held.values) { admission.close() }
    for runner in Array(uncommitted.values) { runner.close(aborting: aborting) }
    let open = Array(connections.values)
    disconnect()
    if aborting { for connection in open { connection.abort(Self.closedStatus) } }
    settle()
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

  /// Those too that only finish their calls.
  var openConnections: Int { connections.count }

  private func finishClosing() {
    guard isClosed, connections.isEmpty else { return }
    let waiting = closing
    closing = []
    for continuation in waiting { continuation.resume() }
  }
}
