import ServiceKit
import Synchronization

/// Wakes those who wait for a mission's next event. It holds no events: a watcher that is woken reads the log, so a slow
/// one costs nobody anything and can neither miss nor repeat an event.
final class EventHub: Sendable {
  private struct Topic {
    var followers = 0
    /// The newest sequence announced since the first of the followers came.
    var newest: UInt64 = 0
    var waiters: [UInt64: Waiter] = [:]

    /// Those that waited for this sequence or one before it.
    mutating func takeWaiters(upTo sequence: UInt64) -> [CheckedContinuation<Void, Never>] {
      let woken = waiters.filter { $0.value.after < sequence }
      for id in woken.keys { waiters[id] = nil }
      return woken.values.map(\.continuation)
    }
  }

  private struct Waiter {
    /// The newest sequence it knows.
    let after: UInt64
    let continuation: CheckedContinuation<Void, Never>
  }

  private struct State {
    var topics: [String: Topic] = [:]
    var nextWaiter: UInt64 = 0
    var isClosed = false
  }

  private let state = Mutex(State())

  /// Announces that events up to `sequence` of the mission are stored. Wakes only those who do not know them yet, so it
  /// does no harm to announce what was announced before.
  func announce(_ missionID: String, upTo sequence: UInt64) {
    let woken = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      guard var topic = state.topics[missionID] else { return [] }
      topic.newest = max(topic.newest, sequence)
      let woken = topic.takeWaiters(upTo: sequence)
      state.topics[missionID] = topic
      return woken
    }
    for waiter in woken { waiter.resume() }
  }

  /// The missions that somebody follows at this moment.
  var followed: [String] { state.withLock { Array($0.topics.keys) } }

  /// How many follow any mission at this moment.
  var followers: Int { state.withLock { $0.topics.values.reduce(0) { $0 + $1.followers } } }

  var sample: MetricSample { MetricSample(BuddySeries.progressSubscribers, Double(followers)) }

  /// True once nothing will be announced any more.
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Ends every wait, now and later.
  func close() {
    let woken = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      state.isClosed = true
      let waiters = state.topics.values.flatMap(\.waiters.values).map(\.continuation)
      for mission in state.topics.keys { state.topics[mission]?.waiters = [:] }
      return waiters
    }
    for waiter in woken { waiter.resume() }
  }

  /// Follows a mission while `body` runs. What is announced from its beginning on ends a `wait`, so: read the log, then
  /// wait for what comes after it.
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
  }

  private func wait(_ missionID: String, after sequence: UInt64) async {
    let id = state.withLock { state -> UInt64 in
      state.nextWaiter += 1
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let waits = state.withLock { state -> Bool in
          guard let topic = state.topics[missionID], topic.newest <= sequence, !state.isClosed, !Task.isCancelled
          else { return false }
          state.topics[missionID]?.waiters[id] = Waiter(after: sequence, continuation: continuation)
          return true
        }
        if !waits { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.topics[missionID]?.waiters.removeValue(forKey: id) }?.continuation.resume()
    }
  }
}
