import Dispatch
import Synchronization

/// A queue between any number of callers and the threads that serve them: callers never block.
final class Mailbox<Element: Sendable>: Sendable {
  private struct State {
    var items: [Element] = []
    var isClosed = false
    /// Threads that wait, each for so many items.
    var sleepers: [Sleeper] = []
  }

  private final class Sleeper: Sendable {
    let enough: Int
    let wakeUp = DispatchSemaphore(value: 0)

    init(enough: Int) { self.enough = enough }
  }

  private let state = Mutex(State())

  var count: Int { state.withLock { $0.items.count } }

  /// Adds an item; false once the mailbox is closed.
  func put(_ item: Element) -> Bool {
    let (isAccepted, sleeper) = state.withLock { state -> (Bool, Sleeper?) in
      guard !state.isClosed else { return (false, nil) }
      state.items.append(item)
      // Only who has enough is woken: a thread's wake-up costs more than many a statement. Of several, the one that
      // went to sleep last: what it works with is still at hand, and while there is little to do the others sleep on.
      guard let index = state.sleepers.lastIndex(where: { $0.enough <= state.items.count }) else { return (true, nil) }
      return (true, state.sleepers.remove(at: index))
    }
    sleeper?.wakeUp.signal()
    return isAccepted
  }

  /// Waits for items and takes up to `limit` of them, oldest first; nil once it is closed and empty.
  func take(upTo limit: Int) -> [Element]? {
    while true {
      let sleeper = Sleeper(enough: 1)
      let (items, isClosed) = state.withLock { state in
        let items = Array(state.items.prefix(limit))
        state.items.removeFirst(items.count)
        if items.isEmpty, !state.isClosed { state.sleepers.append(sleeper) }
        return (items, state.isClosed)
      }
      if !items.isEmpty { return items }
      if isClosed { return nil }
      sleeper.wakeUp.wait()
    }
  }

  /// Waits until so many items are there, or the time is up, or the mailbox is closed.
  func gather(_ count: Int, within limit: Duration) {
    let sleeper = Sleeper(enough: count)
    let mustWait = state.withLock { state in
      guard state.items.count < count, !state.isClosed else { return false }
      state.sleepers.append(sleeper)
      return true
    }
    guard mustWait else { return }
    let nanoseconds = Int(limit / .nanoseconds(1))
    guard sleeper.wakeUp.wait(timeout: .now() + .nanoseconds(nanoseconds)) == .timedOut else { return }
    state.withLock { $0.sleepers.removeAll { $0 === sleeper } }
  }

  /// Refuses further items; those already in are still served.
  func close() {
    let sleepers = state.withLock { state in
      state.isClosed = true
      defer { state.sleepers = [] }
      return state.sleepers
    }
    for sleeper in sleepers { sleeper.wakeUp.signal() }
  }
}
