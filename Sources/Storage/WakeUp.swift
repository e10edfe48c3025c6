import Synchronization

/// What one task sleeps on until another has news for it. News that comes while nobody sleeps is kept; several are one.
package final class WakeUp: Sendable {
  private struct State {
    var isRaised = false
    var isFinished = false
    var sleeper: CheckedContinuation<Void, Never>?

    mutating func takeSleeper() -> CheckedContinuation<Void, Never>? {
      defer { sleeper = nil }
      return sleeper
    }
  }

  private let state = Mutex(State())

  package init() {}

  package func raise() {
    let sleeper = state.withLock { state in
      let sleeper = state.takeSleeper()
      state.isRaised = sleeper == nil
      return sleeper
    }
    sleeper?.resume()
  }

  /// Ends every sleep, now and later: there will be no more news.
  package func finish() {
    let sleeper = state.withLock { state in
      state.isFinished = true
      return state.takeSleeper()
    }
    sleeper?.resume()
  }

  /// Returns once there is news; false where there will be none, or the task is cancelled. One sleeper at a time.
  package func sleep() async -> Bool {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let sleeps = state.withLock { state in
          if state.isRaised || state.isFinished || Task.isCancelled {
            state.isRaised = false
            return false
          }
          state.sleeper = continuation
          return true
        }
        if !sleeps { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.takeSleeper() }?.resume()
    }
    return !Task.isCancelled && state.withLock { !$0.isFinished }
  }
}
