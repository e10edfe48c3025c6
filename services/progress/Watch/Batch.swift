/// The events of one answer to a poll: so many, and no more than fit one message.
struct Batch {
  /// Bytes of events; below what a message may have.
  private static let largestBytes = 3 << 20

  private(set) var events: [StoredEvent] = []
  private(set) var isFull = false
  private let limit: Int
  private var bytes = 0

  init(limit: Int) { self.limit = limit }

  /// Returns false, without the event, if it does not fit any more. The first always does.
  mutating func add(_ event: StoredEvent) -> Bool {
    guard !isFull, events.isEmpty || bytes + event.bytes.count <= Self.largestBytes else {
      isFull = true
      return false
    }
    bytes += event.bytes.count + Self.overhead
    events.append(event)
    isFull = events.count >= limit
    return true
  }

  /// What a position and lengths take, at the most.
  private static let overhead = 24
}
