import NIOConcurrencyHelpers

/// Lets so many calls run at once; those beyond wait their turn, first come, first served, until their deadline. When
/// too many wait, calls end with RESOURCE_EXHAUSTED.
///
/// At the server it is for all connections together. A call counts from its handler's start to its end, a stream to the
/// stream's end. One that waits counts for `ServerOptions.maximumHandlers` of its connection.
///
/// At the client it is for all calls of the client, or of the clients that share it. A call counts from when it is
/// sent, with all its attempts, until its caller is told how it ended, or gives it up. One that waits has not been
/// sent; one for which there is no room never is, nor is it made again by a retry policy.
///
/// At both, one whose caller gives up leaves the queue at once. A call must not wait for another call of the same
/// limit, which may wait behind it: so each side takes a limit of its own.
public final class ConcurrencyLimit: ServerInterceptor, ClientInterceptor {
  /// What shares a limit.
  public enum Scope: Sendable {
    /// All methods together.
    case all
    /// Each method has a limit and a queue of its own.
    case method
  }

  private let maximum: Int
  private let room: Int
  private let scope: Scope
  private let methods: MethodSelection
  private let queues = NIOLockedValueBox<[String: SlotQueue]>([:])

  /// - Parameters:
  ///   - maximum: Calls that run at once; at least 1.
  ///   - queue: Calls that wait; 0: none.
  ///   - services: Left out, by their full names: by default health and reflection, which must answer a busy server's
  ///     supervisors, and whose streams would hold their places for ever.
  public init(
    maximum: Int, queue: Int = 0, per scope: Scope = .all,
    except services: [String] = InfrastructureServices.names
  ) {
    self.maximum = max(1, maximum)
    room = max(0, queue)
    self.scope = scope
    methods = MethodSelection(except: services)
  }

  /// Calls that run and calls that wait at this moment.
  public var load: (running: Int, waiting: Int) {
    queues.withLockedValue { queues in
      queues.values.reduce(into: (0, 0)) { load, queue in load = (load.0 + queue.taken, load.1 + queue.waiting) }
    }
  }

  private func key(_ path: String) -> String { scope == .all ? "" : path }

  private func change<Result: Sendable>(_ key: String, _ body: (inout SlotQueue) -> Result) -> Result {
    queues.withLockedValue { body(&$0[key, default: SlotQueue(slots: maximum, room: room)]) }
  }

  // MARK: - At the server

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path) else { return try await next() }
    let key = key(context.path)
    switch change(key, { $0.admit() }) {
    case .enters: break
    case .isRefused:
      throw Status(.resourceExhausted, "\(maximum) calls are running and \(room) are waiting: try again later")
    case .waits: if await !wait(key) { throw CancellationError() }
    }
    defer { change(key) { $0.release() }?(true) }
    try await next()
  }

  /// - Returns: False if the call was over before its turn came.
  private func wait(_ key: String) async -> Bool {
    let waiter = SlotQueue.Waiter()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let resume: SlotQueue.Resume = { continuation.resume(returning: $0) }
        let (isWaiting, turn) = change(key) { queue in (queue.add(waiter, resume), queue.passOn()) }
        if !isWaiting { resume(false) }
        turn?(true)
      }
    } onCancel: {
      change(key) { $0.remove(waiter) }?(false)
    }
  }

  // MARK: - At the client

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    if methods.contains(call.path) { call.limits.append(self) }
    return nil
  }

  /// What one call of a client has of a limit.
  struct Place: Sendable {
    fileprivate let limit: ConcurrencyLimit
    fileprivate let key: String
    /// Nil where the call did not have to wait.
    fileprivate let waiter: SlotQueue.Waiter?

    /// Gives the slot back, or waits for it no longer.
    func leave() {
      let turn = limit.change(key) { queue in
        if let waiter { queue.leave(waiter) } else { queue.release() }
      }
      turn?(true)
    }
  }

  enum Entry {
    case enters(Place)
    case waits(Place)
    case isRefused(Status)
  }

  /// - Parameter admission: Told when its turn has come, on any thread, where it has to wait.
  func enter(_ path: String, _ admission: CallAdmission) -> Entry {
    let key = key(path)
    return change(key) { queue in
      switch queue.admit() {
      case .enters: return .enters(Place(limit: self, key: key, waiter: nil))
      case .waits:
        let waiter = SlotQueue.Waiter()
        _ = queue.add(waiter) { _ in admission.turnCame() }
        return .waits(Place(limit: self, key: key, waiter: waiter))
      case .isRefused:
        let reason = "\(maximum) calls are running and \(room) are waiting at this client: try again later"
        return .isRefused(Status(.resourceExhausted, reason))
      }
    }
  }
}
