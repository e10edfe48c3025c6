import HTTP2
import NIOCore

/// Bounds what responses make a connection hold until the peer takes them: over the limit no handler begins. Those that
/// run already are held back each for itself, by `Call.highWater`.
struct ResponseBudget {
  let limit: Int
  /// Bytes appended to outputs since the beginning, without those that were dropped.
  var appended = 0
  /// Calls whose handlers have not begun, in order.
  private var waiting = CircularBuffer<Waiter<Void>>()
  /// The next one is on its way.
  var isAdmitting = false

  /// - Parameter limit: In bytes; below zero as zero, where one response waits at a time.
  init(limit: Int) { self.limit = max(0, limit) }

  var hasWaiting: Bool { !waiting.isEmpty }

  /// - Parameter most: How many can wait at once, those left out that were cancelled.
  mutating func wait(_ waiter: Waiter<Void>, most: Int) {
    if waiting.count >= 2 * most { waiting.removeAll(where: \.isDone) }
    waiting.append(waiter)
  }

  mutating func next() -> Waiter<Void>? {
    while let next = waiting.popFirst() {
      if !next.isDone { return next }
    }
    return nil
  }
}

extension ServerConnection {
  /// Bytes of responses that have not been framed: they wait for the peer's windows, or for its socket.
  var heldResponses: Int { responses.appended - session.framedBytes }

  var holdsTooMuch: Bool { heldResponses > responses.limit }

  /// An output has more, or has ended.
  func send(_ stream: Int32, _ output: StreamOutput) {
    count(output)
    resume(stream, output)
  }

  /// Counts what an output has more.
  func count(_ output: StreamOutput) { responses.appended += output.takeAppended() }

  /// Drops what an output still holds.
  func discard(_ output: StreamOutput?) {
    guard let output, output.bufferedBytes > 0 else { return }
    count(output)
    responses.appended -= output.bufferedBytes
    output.discard()
  }

  /// Suspends a handler that has not begun until the peer has read enough.
  /// - Throws: `CancellationError` when its call is over before that.
  func waitUntilRead() async throws {
    repeat {
      try await loop.wait { waiter in
        self.responses.wait(waiter, most: self.options.maximumHandlers)
      }
    } while holdsTooMuch
    admitWaiting()
  }

  /// Lets the next handler begin if there is room: one after another, as each may use all there is. The next but one
  /// has its turn when this one has run as far as it could at once.
  func admitWaiting() {
    guard !responses.isAdmitting, !holdsTooMuch else { return }
    responses.isAdmitting = true
    loop.execute {
      self.responses.isAdmitting = false
      if !self.holdsTooMuch { self.responses.next()?.resume(.success(())) }
    }
  }
}

extension Status {
  static let tooManyHandlers = Status(.resourceExhausted, "too many handlers are still running for this connection")
}
