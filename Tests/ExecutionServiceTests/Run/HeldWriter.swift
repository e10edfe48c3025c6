import Dispatch
import Storage
import Synchronization
import TestSupport

/// Keeps a database's writer busy until it is let go, so that what is written meanwhile waits.
final class HeldWriter: Sendable {
  private let gate = DispatchSemaphore(value: 0)
  private let isHeld = Mutex(false)

  /// Returns once the writer is held; `before` is written in the transaction that holds it.
  init(_ database: Database, before: @escaping @Sendable (WriteConnection) throws -> Void = { _ in }) async throws {
    database.handIn { [self] connection in
      try before(connection)
      isHeld.withLock { $0 = true }
      gate.wait()
    } done: { _ in }
    try await eventually("the writer is held") { isHeld.withLock { $0 } }
  }

  func letGo() { gate.signal() }
}
