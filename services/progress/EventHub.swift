import ServiceKit
import Synchronization

/// Wakes those who wait for a mission's next event, or for anybody's. It holds no events: a watcher that is woken reads
/// them, so a slow one costs nobody anything and can neither miss nor repeat an event.
final class EventHub: Sendable {
  private struct Topic {
    var followers = 0
    /// The newest number announced since the first of the followers came.
    var newest: UInt64 = 0
    var waiters: [UInt64: Waiter] = [:]

    /// Those that waited for this number or one before it: nearly always all of them.
    mutating func takeWaiters(upTo number: UInt64) -> [Waiter] {
      let woken = waiters.values.filter { $0.after < number }
      if woken.count == waiters.count {
        waiters.removeAll(keepingCapacity: true)
      } else {
        for waiter in woken { waiters[waiter.id] = nil }
      }
      return woken
    }
  }

  private struct Waiter {
    let id: UInt64
    /// The newest number it knows.
    let after: UInt64
    let continuation: CheckedContinuation<Void, Never>
  }

  private struct State {
    var topics: [String: Topic] = [:]
    var nextWaiter: UInt64 = 0
    var isClosed = false
  }

  /// In the place of a mission's id, none of which is empty: the events of all missions, by position.
  static let allMissions = ""

  private let state = Mutex(State())

  /// Announces that the mission's events up to `sequence`, or all events up to a position, are stored. Wakes only those
  /// who do not know them yet, so it does no harm to announce what was announced before.
  func announce(_ missionID: String, upTo sequence: UInt64) {
    let woken = state.withLock { state -> [Waiter] in
      // In place: a copy of the topic would be a copy of its waiters.
      guard let index = state.topics.index(forKey: missionID) else { return [] }
      state.topics.values[index].newest = max(state.topics.values[index].newest, sequence)
      return state.topics.values[index].takeWaiters(upTo: sequence)
    }
    for waiter in woken { waiter.continuation.resume() }
  }

  /// The missions that somebody follows at this moment.
  var followed: [String] { state.withLock { $0.topics.keys.filter { $0 != Self.allMissions } } }

  /// How many follow any mission, or all, at this moment.
  var followers: Int { state.withLock { $0.topics.values.reduce(0) { $0 + $1.followers } } }

  var sample: MetricSample { MetricSample(BuddySeries.progressSubscribers, Double(followers)) }

  /// True once nothing will be announced any more.
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Ends every wait, now and later.
  func close() {
    let woken = state.withLock { state -> [Waiter] in
      state.isClosed = true
      let waiters = state.topics.values.flatMap(\.waiters.values)
      for mission in state.topics.keys { state.topics[mission]?.waiters = [:] }
      return waiters
    }
    for waiter in woken { waiter.continuation.resume() }
  }

  /// Follows a mission, or all, while `body` runs. What is announced from its beginning on ends a `wait`, so: read,
  /// then wait for what comes after it.
  func following<Result>(
    _ missionID: String, isolation: isolated (any Actor)? = #isolation, _ body: (Follower) async throws -> Result
  ) async rethrows -> Result {
    state.withLock { $0.topics[missionID, default: Topic()].followers += 1 }
    defer {
      state.withLock { state in
        state.topics[missionID]?.followers -= 1
        if state.topics[missionID]?.followers == 0 { state.topics[missionID] = nil }
      }
    }
    return try await body(Follower(hub: self, missionID: missionID))
  }

  struct Follower: Sendable {
    fileprivate let hub: EventHub
    fileprivate let missionID: String

    /// Returns once an event after `sequence` was announced, the hub closed or the task cancelled.
    func wait(after sequence: UInt64) async { await hub.wait(missionID, after: sequence) }

    /// As `wait`, but no longer than `limit`.
    func wait(after sequence: UInt64, atMost limit: Duration) async {
      await withTaskGroup { group in
        group.addTask { await wait(after: sequence) }
        group.addTask { try? await Task.sleep(for: limit) }
        await group.next()
        group.cancelAll()
      }
    }
  }

  private func wait(_ missionID: String, after sequence: UInt64) async {
    let id = state.withLock { state -> UInt64 in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state -> Bool in
          guard let index = state.topics.index(forKey: missionID), state.topics.values[index].newest <= sequence,
            !state.isClosed, !Task.isCancelled
          else { return false }
          state.topics.values[index].waiters[id] = Waiter(id: id, after: sequence, continuation: continuation)
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.topics[missionID]?.waiters.removeValue(forKey: id) }?.continuation.resume()
    }
  }
}
