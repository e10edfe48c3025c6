import RPC
import Synchronization

/// Reads a feed at its own pace, for a transport that writes from a task. It holds one piece at a time, so a slow
/// connection holds up nothing but itself.
struct FeedReader: AsyncSequence, Sendable {
  /// How many bytes of events are taken at once.
  static let pieceBytes = 32 << 10

  enum Element: Sendable {
    case events([FeedEvent])
    /// What follows up to and with the number is left out.
    case gap(UInt64)
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
    /// It has read from the ring, so that whatever it misses it missed by being slow.
    private var wasInside: Bool
    private var isOver = false

    fileprivate init(_ reader: FeedReader) {
      self.reader = reader
      cursor = reader.start
      wasInside = reader.start.isFromNow
    }

    /// What comes next; nil after the end.
    /// - Throws: `GatewayError` where the watch cannot go on; `CancellationError`.
    mutating func next() async throws -> FeedReader.Element? {
      while !isOver {
        let feed = try feed()
        signal.rearm()
        switch feed.read(after: cursor, limit: FeedReader.pieceBytes) {
        case .events(let events, let more):
          wasInside = true
          return .events(try take(events, more: more))
        case .upToDate:
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
      if reader.key.isOfAll, wasInside, let base {
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
