import Synchronization

/// So many at once; those beyond wait in order, as long as there is room to wait. Pure but for `Waiter.continuation`.
struct SlotQueue {
  /// One that waits. Its fields belong to the lock around the queue.
  final class Waiter: @unchecked Sendable {
    fileprivate var continuation: CheckedContinuation<Bool, Never>?
    fileprivate var isGone = false
  }

  enum Admission {
    case enters, waits, isRefused
  }

  private let slots: Int
  private let room: Int
  private(set) var taken = 0
  private(set) var waiting = 0
  private var queue: [Waiter] = []
  private var head = 0

  init(slots: Int, room: Int) {
    self.slots = max(1, slots)
    self.room = max(0, room)
  }

  mutating func admit() -> Admission {
    if taken < slots {
      taken += 1
      return .enters
    }
    guard waiting < room else { return .isRefused }
    waiting += 1
    return .waits
  }

  /// One that `admit` let wait begins to.
  /// - Returns: False if it was told to go before that.
  mutating func add(_ waiter: Waiter, _ continuation: CheckedContinuation<Bool, Never>) -> Bool {
    guard !waiter.isGone else { return false }
    // A slot may have become free since `admit`.
    waiter.continuation = continuation
    queue.append(waiter)
    return true
  }

  /// One that waits gives up.
  /// - Returns: What to resume with false.
  mutating func remove(_ waiter: Waiter) -> CheckedContinuation<Bool, Never>? {
    guard !waiter.isGone else { return nil }
    waiter.isGone = true
    waiting -= 1
    defer {
      waiter.continuation = nil
      compact()
    }
    return waiter.continuation
  }

  /// A slot is given back.
  /// - Returns: Who has it now; to be resumed with true.
  mutating func release() -> CheckedContinuation<Bool, Never>? {
    taken -= 1
    return passOn()
  }

  /// Gives a free slot to the first that waits.
  mutating func passOn() -> CheckedContinuation<Bool, Never>? {
    guard taken < slots else { return nil }
    while head < queue.count {
      let waiter = queue[head]
      head += 1
      guard let continuation = waiter.continuation else { continue }
      compact()
      waiter.isGone = true
      waiter.continuation = nil
      waiting -= 1
      taken += 1
      return continuation
    }
    compact()
    return nil
  }

  /// The places kept, those left included: what bounds the memory.
  var capacityUsed: Int { queue.count }

  /// Those that gave up stay in the queue until their turn would have come, or until they are most of it.
  private mutating func compact() {
    if head > 32, head * 2 > queue.count {
      queue.removeFirst(head)
      head = 0
    }
    if queue.count - head > 2 * waiting + 32 {
      queue = queue[head...].filter { !$0.isGone }
      head = 0
    }
  }
}
