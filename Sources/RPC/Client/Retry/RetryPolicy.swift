/// A value that gRPC does not allow in a client's configuration.
public struct InvalidConfiguration: Error, Sendable, Hashable, CustomStringConvertible {
  /// For people: "backoffMultiplier must be greater than 0, not -1.0".
  public let description: String

  init(_ description: String) { self.description = description }
}

/// How a call that failed is made again (gRFC A6, "Retry Policy").
///
/// A call is made again as long as nothing but a failure came back: once the server's headers are there, its outcome is
/// the call's. Choose codes that say that the server did nothing, or methods that may run more than once.
public struct RetryPolicy: Sendable, Hashable {
  /// The first one included: 2 … 5.
  public let maximumAttempts: Int
  /// The wait before the second attempt …
  public let initialBackoff: Duration
  /// … is multiplied for each further one, up to this; each is spread by ±20 %.
  public let maximumBackoff: Duration
  public let backoffMultiplier: Double
  /// Failures after which another attempt is made.
  public let retryableCodes: Set<Status.Code>

  /// - Parameters:
  ///   - maximumAttempts: At least 2; more than 5 count as 5.
  ///   - initialBackoff: More than 0, like `maximumBackoff` and `backoffMultiplier`.
  ///   - retryableCodes: At least one.
  /// - Throws: `InvalidConfiguration` for what gRFC A6 ("Validation of retryPolicy") does not allow.
  public init(
    maximumAttempts: Int, initialBackoff: Duration = .milliseconds(100), maximumBackoff: Duration = .seconds(1),
    backoffMultiplier: Double = 2, retryableCodes: Set<Status.Code> = [.unavailable]
  ) throws {
    self.maximumAttempts = try Self.attempts(maximumAttempts)
    guard initialBackoff > .zero else {
      throw InvalidConfiguration("initialBackoff must be greater than 0, not \(initialBackoff)")
    }
    guard maximumBackoff > .zero else {
      throw InvalidConfiguration("maximumBackoff must be greater than 0, not \(maximumBackoff)")
    }
    guard backoffMultiplier > 0, backoffMultiplier.isFinite else {
      throw InvalidConfiguration("backoffMultiplier must be greater than 0, not \(backoffMultiplier)")
    }
    guard !retryableCodes.isEmpty else { throw InvalidConfiguration("retryableCodes must not be empty") }
    self.initialBackoff = initialBackoff
    self.maximumBackoff = maximumBackoff
    self.backoffMultiplier = backoffMultiplier
    self.retryableCodes = retryableCodes
  }

  /// Four attempts, 100 ms doubled up to 1 s, after UNAVAILABLE alone.
  public static let unavailable = RetryPolicy()

  private init() {
    maximumAttempts = 4
    initialBackoff = .milliseconds(100)
    maximumBackoff = .seconds(1)
    backoffMultiplier = 2
    retryableCodes = [.unavailable]
  }

  static func attempts(_ wanted: Int) throws -> Int {
    guard wanted > 1 else { throw InvalidConfiguration("maximumAttempts must be at least 2, not \(wanted)") }
    return min(wanted, 5)
  }

  /// - Parameters:
  ///   - round: How many waits there were since the first attempt, or since the server said when to come again.
  ///   - jitter: -1…1, the random part.
  /// - Returns: Nanoseconds.
  func backoff(round: Int, jitter: Double) -> Int64 {
    var wait = Double(initialBackoff.nanoseconds)
    let longest = Double(maximumBackoff.nanoseconds)
    for _ in 0..<round where wait < longest || backoffMultiplier < 1 { wait *= backoffMultiplier }
    return Int64(min(min(wait, longest) * (1 + Backoff.jitter * jitter), Double(Int64.max / 4)))
  }
}

/// How copies of one call are sent without waiting for a failure (gRFC A6, "Hedging Policy"): the first answer counts,
/// the other copies are cancelled. For methods that may run more than once, where the slowest answers are too slow.
public struct HedgingPolicy: Sendable, Hashable {
  /// The first one included: 2 … 5.
  public let maximumAttempts: Int
  /// The next copy is sent when this long nothing came back; zero: all at once.
  public let hedgingDelay: Duration
  /// Failures after which the others may still succeed: the next copy is sent at once. Any other failure is the call's.
  public let nonFatalCodes: Set<Status.Code>

  /// - Parameter maximumAttempts: At least 2; more than 5 count as 5.
  /// - Throws: `InvalidConfiguration` for fewer than 2 attempts and a negative delay.
  public init(
    maximumAttempts: Int, hedgingDelay: Duration, nonFatalCodes: Set<Status.Code> = [.unavailable]
  ) throws {
    self.maximumAttempts = try RetryPolicy.attempts(maximumAttempts)
    guard hedgingDelay >= .zero else {
      throw InvalidConfiguration("hedgingDelay must not be negative, not \(hedgingDelay)")
    }
    self.hedgingDelay = hedgingDelay
    self.nonFatalCodes = nonFatalCodes
  }
}

/// Stops retries and hedging while a server fails more than it answers (gRFC A6, "Throttling"): each failure that
/// could be retried takes a token, each success gives `tokenRatio` back; with half of them or fewer no call is
/// repeated.
public struct RetryThrottling: Sendable, Hashable {
  /// 1 … 1,000.
  public let maximumTokens: Int
  /// More than 0; counted in thousandths.
  public let tokenRatio: Double

  /// - Throws: `InvalidConfiguration` outside the ranges.
  public init(maximumTokens: Int, tokenRatio: Double) throws {
    guard (1...1000).contains(maximumTokens) else {
      throw InvalidConfiguration("maximumTokens must be 1 … 1000, not \(maximumTokens)")
    }
    guard tokenRatio >= 0.001, tokenRatio.isFinite else {
      throw InvalidConfiguration("tokenRatio must be at least 0.001, not \(tokenRatio)")
    }
    self.maximumTokens = maximumTokens
    self.tokenRatio = tokenRatio
  }
}

/// A client's tokens. Pure; in thousandths.
struct TokenBucket {
  private let maximum: Int
  private let ratio: Int
  private(set) var tokens: Int

  init(_ throttling: RetryThrottling) {
    maximum = throttling.maximumTokens * 1000
    // Further places are ignored; 0.57 × 1,000 must not become 569.
    ratio = Int(min(throttling.tokenRatio, 1000) * 1000 + 1e-6)
    tokens = maximum
  }

  var allowsRetry: Bool { tokens * 2 > maximum }

  mutating func failed() { tokens = max(0, tokens - 1000) }
  mutating func succeeded() { tokens = min(maximum, tokens + ratio) }
}
