import HeapModule
import Synchronization

/// Runs missions, at most `limit` at a time: of those that wait the one with the highest priority first, and of equals the
/// oldest.
final class MissionRunner: Sendable {
  private struct Waiting: Comparable {
    let priority: Int32
    /// Ids rise with time.
    let id: String

    static func < (left: Waiting, right: Waiting) -> Bool {
      (left.priority, right.id) < (right.priority, left.id)
    }
  }

  private struct State {
    var queue: Heap<Waiting> = []
    /// Those in the queue that are still wanted.
    var waiting: Set<String> = []
    var running: [String: Task<Void, Never>] = [:]
    var isStopped = false
  }

  private let limit: Int
  private let run: @Sendable (String) async -> Void
  private let state = Mutex(State())

  /// - Parameters:
  ///   - limit: how many missions run at a time, 1 or more.
  ///   - run: takes one mission to its end; is cancelled to stop it.
  init(limit: Int, run: @escaping @Sendable (String) async -> Void) {
    self.limit = limit
    self.run = run
  }

  /// How many missions wait for room to run, and how many run.
  var counts: (waiting: Int, running: Int) { state.withLock { ($0.waiting.count, $0.running.count) } }

  /// Runs a mission once there is room for it. A mission that waits or runs already is not run a second time.
  func enqueue(_ id: String, priority: Int32) {
    state.withLock { state in
      guard !state.isStopped, state.running[id] == nil, state.waiting.insert(id).inserted else { return }
      state.queue.insert(Waiting(priority: priority, id: id))
      startWaiting(&state)
    }
  }

  /// Stops a mission's work and returns when nothing of it runs any more.
  func stop(_ id: String) async {
    let task = state.withLock { state in
      state.waiting.remove(id)
      return state.running[id]
    }
    task?.cancel()
    await task?.value
  }

  /// Stops all work. What was running goes on when the service is started again.
  func stopAll() async {
    let tasks = state.withLock { state in
      state.isStopped = true
      (state.queue, state.waiting) = ([], [])
      return Array(state.running.values)
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  private func startWaiting(_ state: inout State) {
    while state.running.count < limit, let next = state.queue.popMax() {
      guard state.waiting.remove(next.id) != nil else { continue }
      state.running[next.id] = Task {
        await run(next.id)
        ended(next.id)
      }
    }
  }

  private func ended(_ id: String) {
    state.withLock { state in
      state.running[id] = nil
      startWaiting(&state)
    }
  }
}
