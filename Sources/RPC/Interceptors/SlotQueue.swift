/// So many at once; those beyond wait in order, as long as there is room to wait. Pure but for `Resume`.
struct SlotQueue {
  /// Tells one that waits that it has a slot (true), or that it left. To be called without the lock around the queue.
  typealias Resume = @Sendable (Bool) -> Void

  /// One that waits. Its fields belong to the lock around the queue.
  final class Waiter: @unchecked Sendable {
    fileprivate var resume: Resume?
    /// From the queue: it has its slot, or gave up.
    fileprivate var isGone = false
    fileprivate var hasSlot = false
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
  mutating func add(_ waiter: Waiter, _ resume: @escaping Resume) -> Bool {
    guard !waiter.isGone else { return false }
    // A slot may have become free since `admit`.
    waiter.resume = resume
    queue.append(waiter)
    return true
  }

  /// One that waits gives up.
  /// - Returns: What to call with false.
  mutating func remove(_ waiter: Waiter) -> Resume? {
    guard !waiter.isGone else { return nil }
    waiter.isGone = true
    waiting -= 1
    defer {
      waiter.resume = nil
      compact()
    }
    return waiter.resume
  }

  /// One that waits gives up, or gives back the slot that it has got by now.
  /// - Returns: Who has the slot now; to be called with true.
  mutating func leave(_ waiter: Waiter) -> Resume? {
    if waiter.hasSlot { return release() }
    _ = remove(waiter)
    return nil
  }

  /// A slot is given back.
  /// - Returns: Who has it now; to be called with true.
  mutating func release() -> Resume? {
    taken -= 1
    return passOn()
  }

  /// Gives a free slot to the first that waits.
  mutating func passOn() -> Resume? {
    guard taken < slots else { return nil }
    while head < queue.count {
      let waiter = queue[head]
      head += 1
      guard let resume = waiter.resume else { continue }
      compact()
      waiter.isGone = true
      waiter.hasSlot = true
      waiter.resume = nil
      waiting -= 1
      taken += 1
      return resume
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
