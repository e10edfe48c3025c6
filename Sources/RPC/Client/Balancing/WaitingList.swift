/// First in, first out, from whose middle anything can leave at any time, without a trace in memory. Pure.
struct WaitingList<Element> {
  private var entries: [(place: Int, element: Element?)] = []
  private var head = 0
  private var nextPlace = 0
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  /// - Returns: The place, by which it can leave.
  mutating func append(_ element: Element) -> Int {
    defer { nextPlace += 1 }
    entries.append((nextPlace, element))
    count += 1
    return nextPlace
  }

  mutating func popFirst() -> Element? {
    while head < entries.count {
      let element = entries[head].element
      entries[head].element = nil
      head += 1
      guard let element else { continue }
      count -= 1
      tidy()
      return element
    }
    tidy()
    return nil
  }

  /// Does nothing when that place has been left already.
  mutating func remove(at place: Int) {
    var (low, high) = (head, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].place < place { low = middle + 1 } else { high = middle }
    }
    guard low < entries.count, entries[low].place == place, entries[low].element != nil else { return }
    entries[low].element = nil
    count -= 1
    tidy()
  }

  /// Takes out all that match, in order.
  mutating func removeAll(where matches: (Element) -> Bool) -> [Element] {
    var removed: [Element] = []
    for index in head..<entries.count {
      guard let element = entries[index].element, matches(element) else { continue }
      removed.append(element)
      entries[index].element = nil
    }
    count -= removed.count
    tidy()
    return removed
  }

  /// The places kept, those left included: what bounds the memory.
  var capacityUsed: Int { entries.count }

  /// At most half of the places kept, and 32 more, are empty: so each one costs constant time on average.
  private mutating func tidy() {
    if count == 0 {
      entries.removeAll(keepingCapacity: entries.capacity <= 1024)
      head = 0
    } else if entries.count > 2 * count + 32 {
      entries.removeAll { $0.element == nil }
      head = 0
    }
  }
}
