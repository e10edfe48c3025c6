import NIOConcurrencyHelpers

/// Lets so many calls run at once, over all connections of a server; those beyond wait their turn, first come, first
/// served, until their deadline. When too many wait, calls end with RESOURCE_EXHAUSTED.
///
/// A call counts from its handler's start to its end, a stream to the stream's end. One that waits counts for
/// `ServerOptions.maximumHandlers` of its connection; one whose caller gives up leaves the queue at once. A call must
/// not wait for another call of the same server, which may wait behind it.
///
/// At the client nothing like this is needed: calls over the server's `maximumStreams` wait in the channel.
public final class ConcurrencyLimit: ServerInterceptor {
  /// What shares a limit.
  public enum Scope: Sendable {
    /// All methods together.
    case server
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
    maximum: Int, queue: Int = 0, per scope: Scope = .server,
    except services: [String] = InfrastructureServices.names
  ) {
    self.maximum = maximum
    room = queue
    self.scope = scope
    methods = MethodSelection(except: services)
  }

  /// Calls that run and calls that wait at this moment.
  public var load: (running: Int, waiting: Int) {
    queues.withLockedValue { queues in
      queues.values.reduce(into: (0, 0)) { load, queue in load = (load.0 + queue.taken, load.1 + queue.waiting) }
    }
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path) else { return try await next() }
    let key = scope == .server ? "" : context.path
    switch change(key, { $0.admit() }) {
    case .enters: break
    case .isRefused:
      throw Status(.resourceExhausted, "\(maximum) calls are running and \(room) are waiting: try again later")
    case .waits: if await !wait(key) { throw CancellationError() }
    }
    defer { change(key) { $0.release() }?.resume(returning: true) }
    try await next()
  }

  /// - Returns: False if the call was over before its turn came.
  private func wait(_ key: String) async -> Bool {
    let waiter = SlotQueue.Waiter()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (isWaiting, turn) = change(key) { queue in (queue.add(waiter, continuation), queue.passOn()) }
        if !isWaiting { continuation.resume(returning: false) }
        turn?.resume(returning: true)
      }
    } onCancel: {
      change(key) { $0.remove(waiter) }?.resume(returning: false)
    }
  }

  private func change<Result: Sendable>(_ key: String, _ body: (inout SlotQueue) -> Result) -> Result {
    queues.withLockedValue { body(&$0[key, default: SlotQueue(slots: maximum, room: room)]) }
  }
}
