import DequeModule
import Logging
import Synchronization

/// Runs missions, at most `limit` at a time, in the order in which they are given.
final class MissionRunner: Sendable {
  private struct State {
    var waiting: Deque<String> = []
    var running: [String: Task<Void, Never>] = [:]
    var isStopped = false
  }

  private let limit: Int
  private let pipeline: Pipeline
  private let state = Mutex(State())

  /// - Parameter limit: how many missions run at a time, 1 or more.
  init(limit: Int, pipeline: Pipeline) {
    self.limit = limit
    self.pipeline = pipeline
  }

  /// Runs a mission once there is room for it. A mission that waits or runs already is not run a second time.
  func enqueue(_ id: String) {
    state.withLock { state in
      guard !state.isStopped, state.running[id] == nil, !state.waiting.contains(id) else { return }
      state.waiting.append(id)
      startWaiting(&state)
    }
  }

  /// Stops a mission's work and returns when nothing of it runs any more.
  func stop(_ id: String) async {
    let task = state.withLock { state in
      state.waiting.removeAll { $0 == id }
      return state.running[id]
    }
    task?.cancel()
    await task?.value
  }

  /// Stops all work. What was running goes on when the service is started again.
  func stopAll() async {
    let tasks = state.withLock { state in
      state.isStopped = true
      state.waiting = []
      return Array(state.running.values)
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  private func startWaiting(_ state: inout State) {
    while state.running.count < limit, let id = state.waiting.popFirst() {
      state.running[id] = Task {
        await pipeline.run(id)
        ended(id)
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
