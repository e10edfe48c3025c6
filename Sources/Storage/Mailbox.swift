import Dispatch
import Synchronization

/// A queue between any number of callers and the threads that serve them: callers never block.
final class Mailbox<Element: Sendable>: Sendable {
  private struct State {
    var items: [Element] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let available = DispatchSemaphore(value: 0)

  var count: Int { state.withLock { $0.items.count } }

  /// Adds an item; false once the mailbox is closed.
  func put(_ item: Element) -> Bool {
    let isAccepted = state.withLock { state in
      if !state.isClosed { state.items.append(item) }
      return !state.isClosed
    }
    if isAccepted { available.signal() }
    return isAccepted
  }

  /// Waits for items and takes up to `limit` of them, oldest first; nil once it is closed and empty.
  func take(upTo limit: Int) -> [Element]? {
    while true {
      // One signal an item: taking several leaves some behind, so waking up to an empty queue is normal.
      available.wait()
      let (items, isClosed) = state.withLock { state in
        let items = Array(state.items.prefix(limit))
        state.items.removeFirst(items.count)
        return (items, state.isClosed)
      }
      if !items.isEmpty { return items }
      if isClosed {
        available.signal()  // for the next thread
        return nil
      }
    }
  }

  /// Refuses further items; those already in are still served.
  func close() {
    state.withLock { $0.isClosed = true }
    available.signal()
  }
}
