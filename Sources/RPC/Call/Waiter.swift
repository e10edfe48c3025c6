import NIOCore

/// One suspended task, resumed exactly once: by what it waits for, or by its own cancellation.
///
/// `@unchecked Sendable`: its state is only touched on the loop of the call that it belongs to.
final class Waiter<Value: Sendable>: @unchecked Sendable {
  private enum State {
    case idle
    case waiting(UnsafeContinuation<Value, any Error>)
    case done
  }
  private var state = State.idle

  var isDone: Bool { if case .done = state { true } else { false } }

  /// False when it is over already: the continuation is then resumed with `CancellationError`.
  func wait(_ continuation: UnsafeContinuation<Value, any Error>) -> Bool {
    guard case .idle = state else {
      continuation.resume(throwing: CancellationError())
      return false
    }
    state = .waiting(continuation)
    return true
  }

  func resume(_ result: Result<Value, any Error>) {
    guard case .waiting(let continuation) = state else {
      state = .done
      return
    }
    state = .done
    continuation.resume(with: result)
  }

  func cancel() { resume(.failure(CancellationError())) }
}

extension EventLoop {
  /// Runs `body` on the loop: now, if this is the loop.
  func perform(_ body: @escaping @Sendable () -> Void) {
    if inEventLoop { body() } else { execute(body) }
  }

  /// Suspends the task until the waiter that `register` gets, on the loop, is resumed.
  func wait<Value: Sendable>(_ register: @escaping @Sendable (Waiter<Value>) -> Void) async throws -> Value {
    let waiter = Waiter<Value>()
    return try await withTaskCancellationHandler {
      try await withUnsafeThrowingContinuation { continuation in
        perform { if waiter.wait(continuation) { register(waiter) } }
      }
    } onCancel: {
      // Always later than a registration that is already on its way; an earlier one is what `wait` returns false for.
      execute { waiter.cancel() }
    }
  }
}
