import Foundation
import Synchronization

/// A thread of its own for blocking work, which must run neither on the cooperative pool nor on an event loop.
struct Worker: Sendable {
  private let ended: Latch

  /// Starts a thread and waits until its body calls `ready`; throws what the body threw before that.
  static func start(
    name: String, _ body: @escaping @Sendable (_ ready: () -> Void) throws -> Void
  ) async throws -> Worker {
    let started = Latch()
    let ended = Latch()
    let thread = Thread {
      do {
        try body { started.open() }
        started.open()
      } catch {
        started.open(error)
      }
      ended.open()
    }
    thread.name = name
    thread.start()
    try await started.outcome()
    return Worker(ended: ended)
  }

  /// Waits for the thread's end.
  func join() async { await ended.wait() }
}

/// A gate that opens once, with an error or without.
final class Latch: Sendable {
  private struct State {
    var isOpen = false
    var error: (any Error)?
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  /// Opens the gate; only the first call counts.
  func open(_ error: (any Error)? = nil) {
    let waiting = state.withLock { state in
      if !state.isOpen { state.error = error }
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  func outcome() async throws {
    await wait()
    if let error = state.withLock({ $0.error }) { throw error }
  }
}
