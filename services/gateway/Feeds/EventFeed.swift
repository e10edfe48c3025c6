import Synchronization

/// Is told that there may be something to read. From any thread, and more often than there is.
protocol FeedObserver: AnyObject, Sendable {
  func feedChanged()
}

/// What a watcher finds in a feed after its cursor.
enum FeedRead: Sendable {
  /// The next events, and how many are there after these.
  case events([FeedEvent], more: Int)
  case upToDate
  /// The next events are not in the ring, which has everything after `base`; nil while that is not known, and where
  /// only the service can tell whether there is such a number at all.
  case missing(base: UInt64?)
  /// The mission has ended, and the watcher has seen its last event.
  case ended(last: UInt64)
  case failed(FeedFailure)
}

/// A watch that asking again does not mend.
struct FeedFailure: Error, Sendable {
  let failure: UpstreamFailure
  /// What the watch was to resume after; nil for what is stored from now on.
  let after: UInt64?
}

/// The events of one mission or of all, shared by all who watch them here: one watch of the progress service, each
/// event encoded once, the newest in a ring. A watcher is a cursor into it; nothing is kept per watcher.
///
/// A slow watcher costs the others nothing: it reads later, and finds what left the ring meanwhile at the service. The
/// feed itself goes at the pace of its fastest watcher: it takes no more while the ring is full and nobody has read its
/// oldest event.
final class EventFeed: Sendable {
  private struct State {
    var ring: FeedRing
    /// The ring has every event after it; nil until that is known.
    var base: UInt64?
    /// The newest event's number; nil until there is one and the feed did not begin at a number.
    var last: UInt64?
    /// The highest number that the service let somebody go on after, though it may not have come here yet. A feed of
    /// some of all missions' events never gets what its filter keeps back.
    var confirmed: UInt64 = 0
    /// Events that a watcher from now on would have got have left the ring.
    var hasDropped = false
    /// What the fastest watcher has read.
    var furthest: UInt64 = 0
    var isEstablished = false
    var end: FeedRead?
    var observers: [ObjectIdentifier: any FeedObserver] = [:]
    /// The feed, where it waits for a reader.
    var producer: CheckedContinuation<Void, Never>?

    mutating func read(after cursor: FeedCursor, limit: Int) -> FeedRead {
      guard isInside(cursor) else {
        // What it wants of the past, or of the future, is no matter of a watch that others asked for.
        if !cursor.isFromNow, let end, case .failed = end { return end }
        return .missing(base: isAhead(cursor) ? nil : base)
      }
      let (events, more) = ring.events(after: cursor.number, limit: limit)
      furthest = max(furthest, cursor.number, events.last?.number ?? 0)
      return events.isEmpty ? end ?? .upToDate : .events(events, more: more)
    }

    private func isInside(_ cursor: FeedCursor) -> Bool {
      guard !cursor.isFromNow else { return !hasDropped }
      return base.map { cursor.number >= $0 } ?? false && !isAhead(cursor)
    }

    /// Beyond all that is known to be stored.
    private func isAhead(_ cursor: FeedCursor) -> Bool {
      !cursor.isFromNow && cursor.number > max(base ?? 0, last ?? 0, confirmed)
    }

    /// True where the ring is full and nobody has read its oldest event.
    func mustWait(for event: FeedEvent) -> Bool {
      guard ring.isFull(for: event), let oldest = ring.first else { return false }
      return furthest < oldest.number
    }
  }

  let source: FeedSource
  private let state: Mutex<State>

  /// - Parameter start: the number that the feed begins after; nil to begin with what is stored from now on.
  init(source: FeedSource, start: UInt64?, limits: FeedRing.Limits) {
    self.source = source
    state = Mutex(State(ring: FeedRing(limits), base: start, last: start))
  }

  var key: FeedKey { source.key }

  // MARK: - For watchers

  /// What comes next for a watcher.
  /// - Parameter limit: How many bytes of JSON it takes at once; one event it always takes.
  func read(after cursor: FeedCursor, limit: Int) -> FeedRead {
    let (result, producer) = state.withLock { state in
      let result = state.read(after: cursor, limit: limit)
      defer { state.producer = nil }
      return (result, state.producer)
    }
    producer?.resume()
    return result
  }

  /// Where a watcher from now on begins.
  var now: FeedCursor {
    state.withLock { $0.last.map { FeedCursor(number: $0) } ?? .fromNow }
  }

  /// True once the service has taken the watch up.
  var isEstablished: Bool { state.withLock { $0.isEstablished } }

  /// Some event was seen, so there is such a mission.
  var hasEvents: Bool { state.withLock { $0.ring.count > 0 } }

  /// Nobody can watch it any more.
  var hasFailed: Bool {
    state.withLock { if case .failed = $0.end { true } else { false } }
  }

  /// A watcher has read everything up to `number` from the service, after the watch was established: so the ring has
  /// everything after it.
  func noteComplete(upTo number: UInt64) {
    state.withLock { if $0.base == nil { $0.base = number } }
  }

  /// The service has given somebody what comes after `number`.
  func noteConfirmed(_ number: UInt64) {
    state.withLock { $0.confirmed = max($0.confirmed, number) }
  }

  func add(_ observer: any FeedObserver) {
    state.withLock { $0.observers[ObjectIdentifier(observer)] = observer }
  }

  func remove(_ observer: ObjectIdentifier) {
    // Dropped outside the lock: what goes with it may come back here.
    _ = state.withLock { $0.observers.removeValue(forKey: observer) }
  }

  /// Returns once the service has taken the watch up, the feed has ended, or `limit` is over.
  func waitUntilEstablished(within limit: Duration) async throws {
    let end = ContinuousClock.now + limit
    while state.withLock({ !$0.isEstablished && $0.end == nil }), ContinuousClock.now < end {
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  // MARK: - For the feed's own task

  /// What the watch is to resume after; nil for what is stored from now on.
  var resumesAfter: UInt64? { state.withLock { $0.last ?? $0.base } }

  /// The service has taken the watch up, and everything after `position` comes; nil where it does not say.
  func establish(after position: UInt64? = nil) {
    state.withLock { state in
      state.isEstablished = true
      if state.base == nil { state.base = position }
    }
  }

  /// Adds an event that is newer than all others. Suspends while the ring is full and nobody has read its oldest.
  func append(_ event: FeedEvent) async {
    await withTaskCancellationHandler {
      while !Task.isCancelled, state.withLock({ $0.mustWait(for: event) }) {
        await withCheckedContinuation { continuation in
          let waits = state.withLock { state -> Bool in
            guard state.mustWait(for: event), !Task.isCancelled else { return false }
            state.producer = continuation
            return true
          }
          if !waits { continuation.resume() }
        }
      }
    } onCancel: {
      state.withLock { state in
        defer { state.producer = nil }
        return state.producer
      }?.resume()
    }
    tell { state in
      if let dropped = state.ring.append(event) {
        state.base = dropped
        state.hasDropped = true
      }
      if state.base == nil { state.base = event.number - 1 }
      state.last = event.number
    }
  }

  /// Nothing comes any more.
  func finish() { tell { $0.end = .ended(last: $0.last ?? 0) } }

  func fail(_ failure: FeedFailure) { tell { $0.end = .failed(failure) } }

  private func tell(_ change: (inout State) -> Void) {
    let observers = state.withLock { state in
      change(&state)
      return Array(state.observers.values)
    }
    for observer in observers { observer.feedChanged() }
  }
}
