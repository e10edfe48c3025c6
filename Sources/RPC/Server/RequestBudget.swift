/// Bounds what requests that are not complete make a connection hold, by giving their streams no more window. Pure.
///
/// Refusing such requests would fail honest peers that send many large messages at once, and withholding window from
/// all of them would leave none that can finish. So over the limit one stream goes on until its message is complete,
/// then the next, in the order in which they were opened. A stream without an incomplete message is always given
/// window: it holds nothing here, and may go on for ever.
struct RequestBudget {
  struct Credit: Equatable {
    let stream: Int32
    let bytes: Int
  }

  private let limit: Int
  /// Bytes of incomplete messages.
  private(set) var held = 0
  private var withheld: [Int32: Int] = [:]
  /// Goes on although there is no room. It has an incomplete message.
  private var favoured: Int32?

  init(limit: Int) { self.limit = limit }

  /// Whether a stream may be credited now; if not, it will be by `changed` or `closed`.
  /// - Parameter partial: What it has sent of an incomplete message, in bytes.
  mutating func admits(_ stream: Int32, _ bytes: Int, partial: Int) -> Bool {
    if held <= limit || partial == 0 || favoured == stream { return true }
    if favoured == nil {
      favoured = stream
      return true
    }
    withheld[stream, default: 0] += bytes
    return false
  }

  /// Bytes of a stream's incomplete message came; below zero: it was completed.
  /// - Parameter partial: What it is now.
  mutating func changed(_ stream: Int32, by change: Int, partial: Int) -> [Credit] {
    held += change
    guard change < 0 else { return [] }
    let own = partial == 0 ? withheld.removeValue(forKey: stream) : nil
    let others = released(from: stream)
    return own.map { [Credit(stream: stream, bytes: $0)] + others } ?? others
  }

  mutating func closed(_ stream: Int32, partial: Int) -> [Credit] {
    if partial == 0, favoured == nil, withheld.isEmpty { return [] }
    held -= partial
    withheld[stream] = nil
    return released(from: stream)
  }

  private mutating func released(from stream: Int32) -> [Credit] {
    if favoured == stream { favoured = nil }
    if held <= limit {
      favoured = nil
      defer { withheld = [:] }
      return withheld.map { Credit(stream: $0.key, bytes: $0.value) }
    }
    guard favoured == nil, let next = withheld.keys.min(), let bytes = withheld.removeValue(forKey: next) else {
      return []
    }
    favoured = next
    return [Credit(stream: next, bytes: bytes)]
  }
}
