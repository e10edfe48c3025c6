import Messages
import NIOCore
import Synchronization

/// The events stored last, of all missions in the order of their positions, for watchers who keep up: they cost the
/// database nothing. Whoever is further behind reads the log.
///
/// It holds every event after a position, without exception: what cannot be joined to that without a hole is left to
/// the log.
final class RecentEvents: Sendable {
  struct Limits: Sendable {
    /// How many events are kept.
    var count = 16_384
    /// The sum of their encoded sizes.
    var bytes = 32 << 20
  }

  fileprivate struct State {
    var events = CircularBuffer<StoredEvent>()
    var bytes = 0
    /// The same events by mission, their sequences without a gap.
    var missions: [String: CircularBuffer<StoredEvent>] = [:]
    /// All events after this position and up to `newest` are here.
    var start: UInt64 = 0
    /// Nil before anything is known.
    var newest: UInt64?

    mutating func append(_ event: StoredEvent, _ limits: Limits) {
      events.append(event)
      let mission = event.event.missionId
      // What others stored may have been pruned in part before it was read here.
      if let last = missions[mission]?.last, last.sequence + 1 != event.sequence { missions[mission] = nil }
      missions[mission, default: CircularBuffer()].append(event)
      bytes += event.bytes.count
      newest = event.position
      while events.count > limits.count || (bytes > limits.bytes && events.count > 1) { dropOldest() }
    }

    private mutating func dropOldest() {
      let oldest = events.removeFirst()
      bytes -= oldest.bytes.count
      start = oldest.position
      let mission = oldest.event.missionId
      guard missions[mission]?.first === oldest else { return }
      missions[mission]?.removeFirst()
      if missions[mission]?.isEmpty ?? false { missions[mission] = nil }
    }

    mutating func restart(at position: UInt64) {
      self = State()
      start = position
      newest = position
    }
  }

  let limits: Limits
  private let state = Mutex(State())

  init(limits: Limits = Limits()) { self.limits = limits }

  /// The newest position that is known to be stored; nil before any is.
  var newest: UInt64? { state.withLock { $0.newest } }

  // MARK: - Reading

  /// Up to `limit` events after a position; nil if some of them are no longer here.
  func events(after position: UInt64, limit: Int) -> [StoredEvent]? {
    state.withLock { state in
      guard state.newest != nil, position >= state.start else { return nil }
      let first = state.events.firstIndex(after: position, by: \.position)
      return Array(state.events[first...].prefix(limit))
    }
  }

  /// Up to `limit` of a mission's events after a sequence, and the newest of them all; nil if some are not here.
  func events(
    of missionID: String, after sequence: UInt64, limit: Int
  ) -> (events: [StoredEvent], newest: ProgressEvent)? {
    state.withLock { state in
      guard let events = state.missions[missionID], let oldest = events.first, let newest = events.last,
        oldest.sequence <= sequence || oldest.sequence - sequence == 1
      else { return nil }
      let first = events.firstIndex(after: sequence, by: \.sequence)
      return (Array(events[first...].prefix(limit)), newest.event)
    }
  }

  // MARK: - Adding

  /// Takes in events that this process has just committed, in the order of the commits.
  ///
  /// Returns false, without them, if others' events that lie before them have to be read first.
  /// - Parameter isAlone: nobody else has the database, so that there is nothing to be read.
  func take(committed events: [StoredEvent], isAlone: Bool) -> Bool {
    guard let first = events.first else { return true }
    return state.withLock { state in
      if isAlone, state.newest.map({ $0 + 1 < first.position }) ?? true {
        state.restart(at: first.position - 1)
      }
      // Before the log was looked at, nobody knows what others have stored: those who wait will read the log.
      guard let newest = state.newest else { return true }
      guard first.position <= newest + 1 else { return false }
      state.appendNew(events, limits)
      return true
    }
  }

  /// Takes in what was read from the log: all events that come after `position`.
  func take(read events: [StoredEvent], after position: UInt64) {
    state.withLock { state in
      guard let newest = state.newest, newest >= position else { return }
      state.appendNew(events, limits)
    }
  }

  /// Begins anew behind a position, unless what is here is newer.
  func restart(at position: UInt64) {
    state.withLock { state in
      if state.newest.map({ $0 < position }) ?? true { state.restart(at: position) }
    }
  }
}

extension RecentEvents.State {
  /// Passes over those that are here already.
  fileprivate mutating func appendNew(_ events: [StoredEvent], _ limits: RecentEvents.Limits) {
    for event in events where event.position > newest ?? 0 { append(event, limits) }
  }
}

extension CircularBuffer<StoredEvent> {
  /// Where the first event lies whose number is above `number`; they rise.
  fileprivate func firstIndex(after number: UInt64, by key: (StoredEvent) -> UInt64) -> Index {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if key(self[index(startIndex, offsetBy: middle)]) <= number { low = middle + 1 } else { high = middle }
    }
    return index(startIndex, offsetBy: low)
  }
}
