import RPC
import Synchronization

/// Reads a feed at its own pace, for a transport that writes from a task. It holds one piece at a time, so a slow
/// connection holds up nothing but itself.
struct FeedReader: AsyncSequence, Sendable {
  /// How many bytes of events are taken at once.
  static let pieceBytes = 32 << 10
  /// A transport that takes longer for a piece is slow: of all missions' events it gets a gap where others catch up.
  static let patience: Duration = .milliseconds(500)

  enum Element: Sendable {
    case events([FeedEvent])
    /// What follows up to and with the number is left out.
    case gap(UInt64)
    /// Some events after a position and up to another are not kept any more; nothing else is left out.
    case notKept(after: UInt64, through: UInt64)
    /// The mission has ended, with its last number.
    case end(UInt64)
  }

  let feeds: EventFeeds
  let key: FeedKey
  let start: FeedCursor
  let coalesceAfter: UInt32

  func makeAsyncIterator() -> Iterator { Iterator(self) }

  struct Iterator: AsyncIteratorProtocol {
    private let reader: FeedReader
    private var lease: EventFeeds.Lease?
    private var cursor: FeedCursor
    private let signal = FeedSignal()
    private var pages = FeedPages()
    /// When it gave something out last.
    private var given: ContinuousClock.Instant?
    /// That took its transport long, so that what it misses it misses by being slow itself.
    private var isSlow = false
    private var isOver = false
    /// It has been found out whether everything it asked for is kept.
    private var hasAsked = false

    fileprivate init(_ reader: FeedReader) {
      self.reader = reader
      cursor = reader.start
    }

    /// What comes next; nil after the end.
    /// - Throws: `GatewayError` where the watch cannot go on; `CancellationError`.
    mutating func next() async throws -> FeedReader.Element? {
      if let given, given.duration(to: .now) > FeedReader.patience { isSlow = true }
      defer { given = .now }
      while !isOver {
        let feed = try feed()
        if !hasAsked {
          hasAsked = true
          if let pruned = try await feed.source.prunedThrough(after: reader.start) {
            return .notKept(after: reader.start.number, through: pruned)
          }
        }
        signal.rearm()
        switch feed.read(after: cursor, limit: FeedReader.pieceBytes) {
        case .events(let events, let more):
          return .events(try take(events, more: more))
        case .upToDate:
          isSlow = false
          try await signal.wait()
        case .missing(let base):
          if let item = try await catchUp(feed, base: base) { return item }
        case .ended(let last):
          isOver = true
          return .end(last)
        case .failed(let failure):
          if failure.concerns(cursor) { throw await feed.source.error(for: failure.failure) }
          lease = nil
        }
      }
      lease = nil
      return nil
    }

    private mutating func take(_ events: [FeedEvent], more: Int) throws -> [FeedEvent] {
      if let newest = events.last { cursor = FeedCursor(number: newest.number) }
      return try events.coalesced(after: reader.coalesceAfter, more: more)
    }

    private mutating func catchUp(_ feed: EventFeed, base: UInt64?) async throws -> FeedReader.Element? {
      if reader.key.isOfAll, isSlow || cursor.isFromNow, let base {
        cursor = FeedCursor(number: base)
        return .gap(base)
      }
      do {
        let page = try await pages.next(of: feed, after: cursor.number)
        cursor = FeedCursor(number: page.position)
        if page.isComplete, page.events.isEmpty {
          isOver = true
          return .end(page.position)
        }
        return page.events.isEmpty ? nil : .events(try page.events.coalesced(after: reader.coalesceAfter, more: 0))
      } catch let failure as UpstreamFailure {
        throw await feed.source.error(for: failure)
      }
    }

    private mutating func feed() throws -> EventFeed {
      if let lease { return lease.feed }
      let start = cursor.isFromNow ? nil : cursor.number
      let lease = try reader.feeds.lease(reader.key, start: start, observer: signal)
      self.lease = lease
      if cursor.isFromNow { cursor = lease.feed.now }
      return lease.feed
    }
  }
}

/// Wakes one waiting task when its feed changes.
final class FeedSignal: FeedObserver {
  private struct State {
    var isRaised = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  /// Forgets what was told, before reading.
  func rearm() { state.withLock { $0.isRaised = false } }

  func feedChanged() { raise() }

  /// Returns once the feed has changed since `rearm`.
  /// - Throws: `CancellationError`.
  func wait() async throws {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isRaised = state.withLock { state -> Bool in
          if !state.isRaised, !Task.isCancelled { state.waiter = continuation }
          return state.isRaised || Task.isCancelled
        }
        if isRaised { continuation.resume() }
      }
    } onCancel: {
      raise()
    }
    try Task.checkCancellation()
  }

  private func raise() {
    state.withLock { state in
      state.isRaised = true
      defer { state.waiter = nil }
      return state.waiter
    }?.resume()
  }
}
