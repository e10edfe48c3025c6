import Messages
import Storage
import Synchronization

/// Deliveries that have arrived and wait to be taken in, bounded in number and bytes: one task puts, one takes.
final class DeliveryQueue: Sendable {
  private struct State {
    var deliveries: [Delivery] = []
    var bytes = 0
    var isFinished = false
  }

  private let largestCount: Int
  private let largestBytes: Int
  private let state = Mutex(State())
  private let arrival = WakeUp()
  private let room = WakeUp()

  /// Over either limit `put` waits; one delivery always has room.
  init(largestCount: Int, largestBytes: Int) {
    self.largestCount = largestCount
    self.largestBytes = largestBytes
  }

  /// False once the queue is finished, or the task is cancelled.
  func put(_ delivery: Delivery) async -> Bool {
    while true {
      let isIn: Bool? = state.withLock { state in
        if state.isFinished { return nil }
        guard state.deliveries.count < largestCount, state.bytes < largestBytes else { return false }
        state.deliveries.append(delivery)
        state.bytes += delivery.payload.count
        return true
      }
      switch isIn {
      case true?:
        arrival.raise()
        return true
      case false?: guard await room.sleep() else { return false }
      case nil: return false
      }
    }
  }

  /// Everything that has arrived, once there is something; nil when there will be nothing more, or the task is
  /// cancelled.
  func takeAll() async -> [Delivery]? {
    while true {
      let (deliveries, isFinished) = state.withLock { state in
        defer { (state.deliveries, state.bytes) = ([], 0) }
        return (state.deliveries, state.isFinished)
      }
      if !deliveries.isEmpty {
        room.raise()
        return deliveries
      }
      if isFinished { return nil }
      if await !arrival.sleep(), Task.isCancelled { return nil }
    }
  }

  /// Takes nothing more. What is in can still be taken.
  func finish() {
    state.withLock { $0.isFinished = true }
    arrival.finish()
    room.finish()
  }
}
