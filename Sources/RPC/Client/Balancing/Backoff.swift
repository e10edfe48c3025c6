/// How long to rest after each failure (gRPC `doc/connection-backoff.md`). Pure.
struct Backoff: Sendable {
  /// The random part: ±20 %, so that many clients do not come at once. Retries of calls spread by as much (gRFC A6).
  static let jitter = 0.2

  /// In nanoseconds: a century. The time now and this fit into 64 bits.
  private static let longest = 3e18

  private let minimum: Double
  private let maximum: Double
  private let multiplier: Double
  private var next: Double

  /// - Parameters:
  ///   - minimum: The first rest, in nanoseconds.
  ///   - maximum: The longest, before the random part.
  init(minimum: Int64, maximum: Int64, multiplier: Double) {
    self.minimum = Double(max(1, minimum))
    self.maximum = max(self.minimum, Double(maximum))
    self.multiplier = max(1, multiplier)
    next = self.minimum
  }

  init(_ options: ClientOptions) {
    self.init(
      minimum: options.minimumBackoff.nanoseconds, maximum: options.maximumBackoff.nanoseconds,
      multiplier: options.backoffMultiplier)
  }

  /// The next rest in nanoseconds.
  /// - Parameter spread: -1…1, the random part.
  mutating func rest(spread: Double) -> Int64 {
    let base = next
    next = min(next * multiplier, maximum)
    return Int64(min(base * (1 + Self.jitter * spread), Self.longest))
  }

  mutating func reset() { next = minimum }
}
