import NIOCore

/// The newest events of a feed, in ascending order: bounded in number and in bytes of their JSON.
struct FeedRing: Sendable {
  /// The bounds.
  struct Limits: Sendable {
    /// How many events are kept.
    var events = 1024
    /// How many bytes their JSON may have together. One event is kept, whatever its size.
    var bytes = 1 << 20
  }

  private let limits: Limits
  private var slots: [FeedEvent?]
  private var head = 0
  private(set) var count = 0
  private var bytes = 0

  init(_ limits: Limits) {
    self.limits = limits
    slots = Array(repeating: nil, count: max(1, limits.events))
  }

  var first: FeedEvent? { count == 0 ? nil : slots[head] }

  /// True where `event` would push the oldest out.
  func isFull(for event: FeedEvent) -> Bool {
    count > 0 && (count == slots.count || bytes + event.json.readableBytes > limits.bytes)
  }

  /// - Returns: The number of the newest event that was pushed out; nil if none was.
  mutating func append(_ event: FeedEvent) -> UInt64? {
    var dropped: UInt64?
    while isFull(for: event), let oldest = first {
      dropped = oldest.number
      bytes -= oldest.json.readableBytes
      slots[head] = nil
      head = (head + 1) % slots.count
      count -= 1
    }
    slots[(head + count) % slots.count] = event
    count += 1
    bytes += event.json.readableBytes
    return dropped
  }

  /// The events after `number`, as many as come to `limit` bytes of JSON and one at least; and how many follow them.
  func events(after number: UInt64, limit: Int) -> (events: [FeedEvent], more: Int) {
    var index = firstIndex(after: number)
    var events: [FeedEvent] = []
    var size = 0
    while index < count, let event = slots[(head + index) % slots.count] {
      size += event.json.readableBytes
      if size > limit, !events.isEmpty { break }
      events.append(event)
      index += 1
    }
    return (events, count - index)
  }

  /// The place of the first event with a greater number, by halving.
  private func firstIndex(after number: UInt64) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      let isBefore = slots[(head + middle) % slots.count].map { $0.number <= number } ?? false
      if isBefore { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
