import Metrics
import Synchronization

/// Finished spans that wait to be exported. Never makes anybody wait: what does not fit is dropped and counted.
final class SpanQueue: Sendable {
  /// Spans that wait at the most.
  static let defaultLimit = 8192

  private struct State {
    var spans: [FinishedSpan] = []
    var dropped = 0
    var isClosed = false
  }

  private let limit: Int
  private let batch: Int
  private let state = Mutex(State())
  private let droppedTotal = Counter(label: BuddySeries.spansDropped.name)

  /// Something happened: spans wait that did not before, a batch is full, or the queue is closed.
  let signals: AsyncStream<Void>
  private let signalling: AsyncStream<Void>.Continuation

  /// - Parameter batch: How many spans are signalled as enough to be exported.
  init(limit: Int = SpanQueue.defaultLimit, batch: Int) {
    self.limit = limit
    self.batch = batch
    (signals, signalling) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    droppedTotal.increment(by: 0)
  }

  /// From any thread.
  func add(_ span: FinishedSpan) {
    let count: Int? = state.withLock { state in
      guard state.spans.count < limit, !state.isClosed else { return nil }
      state.spans.append(span)
      return state.spans.count
    }
    guard let count else { return drop(1) }
    if count == 1 || count == batch { signal() }
  }

  func signal() { signalling.yield() }

  /// The oldest that wait, at most a batch.
  func take() -> [FinishedSpan] {
    state.withLock { state in
      let taken = Array(state.spans.prefix(batch))
      state.spans.removeFirst(taken.count)
      return taken
    }
  }

  var count: Int { state.withLock { $0.spans.count } }
  var isEmpty: Bool { count == 0 }
  var isFull: Bool { count >= batch }
  /// How many were dropped since the process began.
  var dropped: Int { state.withLock(\.dropped) }

  /// Counts spans as dropped.
  func drop(_ count: Int) {
    state.withLock { $0.dropped += count }
    droppedTotal.increment(by: Int64(count))
  }

  /// Takes no more.
  func close() {
    state.withLock { $0.isClosed = true }
    signal()
    signalling.finish()
  }
}
