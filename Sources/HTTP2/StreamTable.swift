/// Values by the id of a stream: a dictionary that need not hash with care.
///
/// Each frame of a call looks its stream up, and `Dictionary` hashes so that a peer that chooses keys cannot make them
/// collide: a good part of what a unary call costs. Here a peer can, and gains nothing: as many streams as it may have
/// open are passed over in less time than one careful hash of each of them takes.
///
/// Public, as what is inlined into other modules has to be; no product offers it.
public struct StreamTable<Value> {
  /// Open addressing with linear probing; 0, which is no stream, marks a free place. At most half of them are taken.
  @usableFromInline var ids: [Int32] = []
  @usableFromInline var stored: [Value?] = []
  @usableFromInline var used = 0

  @inlinable public init() {}

  @inlinable public var count: Int { used }
  @inlinable public var isEmpty: Bool { used == 0 }

  /// In no order.
  public var values: [Value] { stored.compactMap(\.self) }

  /// In no order.
  public var elements: [(stream: Int32, value: Value)] {
    zip(ids, stored).compactMap { id, value in value.map { (id, $0) } }
  }

  @inlinable
  public subscript(stream: Int32) -> Value? {
    guard used > 0 else { return nil }
    let place = place(of: stream)
    return ids[place] == stream ? stored[place] : nil
  }

  /// Replaces what is there.
  /// - Parameter stream: Above zero.
  @inlinable
  public mutating func insert(_ value: Value, for stream: Int32) {
    precondition(stream > 0, "no stream has such an id")
    if 2 * (used + 1) > ids.count { grow() }
    let place = place(of: stream)
    if ids[place] == 0 { used += 1 }
    ids[place] = stream
    stored[place] = value
  }

  @inlinable
  @discardableResult
  public mutating func remove(_ stream: Int32) -> Value? {
    guard used > 0, stream > 0 else { return nil }
    var free = place(of: stream)
    guard ids[free] == stream else { return nil }
    let value = stored[free].take()
    // Whoever was put behind this place because it was taken moves up, or would not be found any more.
    let mask = ids.count - 1
    var next = (free + 1) & mask
    while ids[next] != 0 {
      if (next &- home(of: ids[next])) & mask >= (next &- free) & mask {
        ids[free] = ids[next]
        stored.swapAt(free, next)
        free = next
      }
      next = (next + 1) & mask
    }
    ids[free] = 0
    used -= 1
    return value
  }

  /// Where the stream is, or would be put. There is a free place.
  @inlinable
  func place(of stream: Int32) -> Int {
    let mask = ids.count - 1
    var place = home(of: stream)
    while ids[place] != 0, ids[place] != stream { place = (place + 1) & mask }
    return place
  }

  /// Fibonacci hashing. Ids of one side are all odd or all even, and follow one another.
  @inlinable
  func home(of stream: Int32) -> Int {
    Int(truncatingIfNeeded: (UInt64(UInt32(bitPattern: stream)) &* 0x9E37_79B9_7F4A_7C15) >> 32) & (ids.count - 1)
  }

  @usableFromInline
  mutating func grow() {
    let old = elements
    let capacity = max(8, 2 * ids.count)
    ids = Array(repeating: 0, count: capacity)
    stored = Array(repeating: nil, count: capacity)
    used = 0
    for (stream, value) in old { insert(value, for: stream) }
  }
}
