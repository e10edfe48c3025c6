/// Bounds what requests make a connection hold until their handlers take it, by giving their streams no more window.
/// Pure.
///
/// Refusing such requests would fail honest peers that send many large messages at once, and withholding window from
/// all of them would leave none that can finish. So over the limit two streams go on until what they have sent is
/// taken: one whose request is one message, and one whose handler waits for a message at this moment. Others follow in
/// the order in which they were opened. Two, because the first may have to wait until the second is served (for a place
/// in a `ConcurrencyLimit`), and never the other way round. A stream that holds nothing is always given window.
struct RequestBudget {
  struct Credit: Equatable {
    let stream: Int32
    let bytes: Int
  }

  /// Who takes what a stream sends.
  enum Taker {
    /// A handler that begins when the request, which is one message, is complete.
    case unary
    /// A handler that waits for the next message.
    case reader
    /// A handler that does something else.
    case nobody
  }

  private let limit: Int
  /// Bytes of messages, whole or not, that no handler has taken.
  private(set) var held = 0
  private var withheld: [Int32: (bytes: Int, taker: Taker)] = [:]
  /// These go on although there is no room.
  private var favoured: (unary: Int32?, reader: Int32?)
  /// Bytes that handlers have taken since `hasMoved` said so.
  private var taken = 0

  init(limit: Int) { self.limit = limit }

  /// Whether a stream may be credited now; if not, it will be by `changed`, `wants` or `closed`.
  /// - Parameter own: What of `held` is its own.
  mutating func admits(_ stream: Int32, _ bytes: Int, own: Int, taker: Taker) -> Bool {
    if held <= limit || own == 0 || favoured.unary == stream || favoured.reader == stream { return true }
    if favour(stream, taker) { return true }
    withheld[stream] = (bytes + (withheld[stream]?.bytes ?? 0), taker)
    return false
  }

  /// Bytes of a stream are held; below zero: they were taken.
  /// - Parameter own: What of `held` is its own now.
  mutating func changed(_ stream: Int32, by change: Int, own: Int) -> [Credit] {
    held += change
    guard change < 0 else { return [] }
    taken -= change
    let credit = own == 0 ? withheld.removeValue(forKey: stream) : nil
    let others = released(from: stream)
    return credit.map { [Credit(stream: stream, bytes: $0.bytes)] + others } ?? others
  }

  /// A stream's handler waits for a message.
  mutating func wants(_ stream: Int32) -> [Credit] {
    guard let bytes = withheld[stream]?.bytes else { return [] }
    withheld[stream]?.taker = .reader
    guard favour(stream, .reader) else { return [] }
    withheld[stream] = nil
    return [Credit(stream: stream, bytes: bytes)]
  }

  /// What the stream held must have been taken or dropped before (`changed`).
  mutating func closed(_ stream: Int32) -> [Credit] {
    if favoured == (nil, nil), withheld.isEmpty { return [] }
    withheld[stream] = nil
    return released(from: stream)
  }

  /// Who would take it, where a stream has to wait for window.
  func takerWaiting(_ stream: Int32) -> Taker? { withheld.isEmpty ? nil : withheld[stream]?.taker }

  /// Handlers have taken half the limit since this was last true: who waits, waits for others that are served.
  mutating func hasMoved() -> Bool {
    guard taken >= max(1, limit / 2) else { return false }
    taken = 0
    return true
  }

  private mutating func favour(_ stream: Int32, _ taker: Taker) -> Bool {
    switch taker {
    case .unary where favoured.unary == nil: favoured.unary = stream
    case .reader where favoured.reader == nil: favoured.reader = stream
    default: return false
    }
    return true
  }

  private mutating func released(from stream: Int32) -> [Credit] {
    if favoured.unary == stream { favoured.unary = nil }
    if favoured.reader == stream { favoured.reader = nil }
    guard !withheld.isEmpty else { return [] }
    if held <= limit {
      favoured = (nil, nil)
      defer { withheld = [:] }
      return withheld.map { Credit(stream: $0.key, bytes: $0.value.bytes) }
    }
    return [Taker.unary, .reader].compactMap { next($0) }
  }

  private mutating func next(_ taker: Taker) -> Credit? {
    guard let next = withheld.filter({ $0.value.taker == taker }).keys.min(), favour(next, taker),
      let bytes = withheld.removeValue(forKey: next)?.bytes
    else { return nil }
    return Credit(stream: next, bytes: bytes)
  }
}
