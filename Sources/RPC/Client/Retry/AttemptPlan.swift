/// Decides when a call's attempts are sent and which of them answers its caller (gRFC A6). Pure: it is told the time
/// (nanoseconds), the random part and what became of each attempt, and says what is to be done, in order.
///
///     begin ─▶ attempting ──headers, overflow──▶ committed   one attempt is left; the rest is its business
///               │  ▲   │
///         failure  │   └──answer, fatal failure, none left──▶ over
///               └──┘
///             next attempt: now (hedging, refused) or after a wait (backoff, pushback, hedging delay)
struct AttemptPlan {
  enum Policy {
    case retry(RetryPolicy)
    case hedge(HedgingPolicy)
  }

  enum Action: Equatable {
    /// Send the call; so many attempts that count were made before it.
    case start(attempt: Int, previous: Int)
    /// The outcome of this one no longer matters.
    case cancel(attempt: Int)
    /// Call `woke` at this time, `wakeAt`, instead of any other.
    case wake(at: Int64)
    /// This attempt becomes the call.
    case commit(attempt: Int)
    /// The call ends as the attempt did that ended last.
    case finish
  }

  /// What a failed attempt's trailers say of further ones (`grpc-retry-pushback-ms`).
  enum Pushback: Equatable {
    case unsaid
    /// In nanoseconds.
    case after(Int64)
    case never

    /// - Parameter value: Milliseconds in 32 bits; negative or anything else: never.
    init(_ value: String?) {
      guard let value else {
        self = .unsaid
        return
      }
      guard let milliseconds = Int32(value), milliseconds >= 0 else {
        self = .never
        return
      }
      self = .after(Int64(milliseconds) * 1_000_000)
    }
  }

  private enum Phase { case attempting, committed, over }

  private let policy: Policy
  private let maximumAttempts: Int
  /// `Int64.max`: none.
  private let deadline: Int64
  private var phase = Phase.attempting
  /// Those under way, each with the number of attempts before it.
  private(set) var running: [Int: Int] = [:]
  private var launched = 0
  /// Those that count: not the ones that were sent again because the server had not looked at them.
  private(set) var attempts = 0
  private(set) var wakeAt: Int64?
  /// Waits since the first attempt or the last pushback.
  private var round = 0
  private var wasRefused = false
  private var hasStopped = false

  init(_ policy: Policy, deadline: Int64 = .max) {
    self.policy = policy
    self.deadline = deadline
    switch policy {
    case .retry(let policy): maximumAttempts = policy.maximumAttempts
    case .hedge(let policy): maximumAttempts = policy.maximumAttempts
    }
  }

  private var isExhausted: Bool { hasStopped || attempts >= maximumAttempts }

  // MARK: - Events

  mutating func begin(now: Int64, _ bucket: TokenBucket?) -> [Action] { startNext(now, bucket) }

  /// The time that `wake` named has come.
  mutating func woke(now: Int64, _ bucket: TokenBucket?) -> [Action] {
    guard phase == .attempting, let wakeAt, now >= wakeAt else { return [] }
    return startNext(now, bucket)
  }

  /// The server's headers came, and they are not all.
  mutating func answered(_ attempt: Int) -> [Action] { commit(attempt) }

  /// No more can be kept of what was sent: this attempt goes on alone.
  mutating func overflowed(_ attempt: Int) -> [Action] { commit(attempt) }

  /// The attempt is over with OK.
  mutating func succeeded(_ attempt: Int) -> [Action] {
    guard phase == .attempting, running.removeValue(forKey: attempt) != nil else { return [] }
    return end()
  }

  /// The attempt is over with another status, and no headers before it.
  /// - Parameter jitter: -1…1, the random part.
  mutating func failed(
    _ attempt: Int, _ code: Status.Code, _ pushback: Pushback, now: Int64, jitter: Double, _ bucket: inout TokenBucket?
  ) -> [Action] {
    guard phase == .attempting, running.removeValue(forKey: attempt) != nil else { return [] }
    switch policy {
    case .retry(let policy):
      let mayRetry = count(code, policy.retryableCodes, pushback, &bucket)
      guard mayRetry, !isExhausted, pushback != .never, bucket?.allowsRetry != false else { return end() }
      if case .after(let delay) = pushback {
        round = 0
        return wait(until: now + delay)
      }
      defer { round += 1 }
      return wait(until: now + policy.backoff(round: round, jitter: jitter))
    case .hedge(let policy):
      guard count(code, policy.nonFatalCodes, pushback, &bucket) else { return end() }
      return hedgeFailed(pushback, now, bucket)
    }
  }

  /// The server certainly did not look at the attempt: it is sent again without counting, without limit if it never
  /// left, and once a call if the server refused it.
  mutating func refused(
    _ attempt: Int, neverLeft: Bool, now: Int64, jitter: Double, _ bucket: inout TokenBucket?
  ) -> [Action] {
    guard phase == .attempting, let previous = running[attempt] else { return [] }
    guard neverLeft || !wasRefused, now < deadline else {
      return failed(attempt, .unavailable, .unsaid, now: now, jitter: jitter, &bucket)
    }
    if !neverLeft { wasRefused = true }
    running[attempt] = nil
    return [launch(previous: previous)]
  }

  // MARK: - Parts

  /// Counts a failure against the tokens.
  /// - Returns: Whether the policy allows for it.
  private func count(
    _ code: Status.Code, _ codes: Set<Status.Code>, _ pushback: Pushback, _ bucket: inout TokenBucket?
  ) -> Bool {
    let isAllowed = codes.contains(code)
    if isAllowed || pushback == .never { bucket?.failed() }
    return isAllowed
  }

  private mutating func hedgeFailed(_ pushback: Pushback, _ now: Int64, _ bucket: TokenBucket?) -> [Action] {
    switch pushback {
    case .unsaid:
      return startNext(now, bucket)
    case .after(let delay):
      if !isExhausted { return wait(until: now + delay) }
    case .never:
      hasStopped = true
      wakeAt = nil
    }
    return running.isEmpty ? end() : []
  }

  /// Starts the next attempt, and with hedging those that need not wait for it.
  private mutating func startNext(_ now: Int64, _ bucket: TokenBucket?) -> [Action] {
    wakeAt = nil
    var actions: [Action] = []
    while !isExhausted, now < deadline {
      if case .hedge = policy, attempts > 0, bucket?.allowsRetry == false {
        hasStopped = true
        break
      }
      actions.append(launch(previous: attempts))
      attempts += 1
      guard case .hedge(let policy) = policy, !isExhausted else { break }
      guard policy.hedgingDelay == .zero else {
        actions += wait(until: now + min(policy.hedgingDelay.nanoseconds, .max / 4))
        break
      }
    }
    if running.isEmpty, isExhausted { actions += end() }
    return actions
  }

  private mutating func launch(previous: Int) -> Action {
    defer { launched += 1 }
    running[launched] = previous
    return .start(attempt: launched, previous: previous)
  }

  /// Nothing is sent once the deadline has passed: then the call is over without this.
  private mutating func wait(until time: Int64) -> [Action] {
    wakeAt = time
    return time < deadline ? [.wake(at: time)] : []
  }

  private mutating func commit(_ attempt: Int) -> [Action] {
    guard phase == .attempting, running.removeValue(forKey: attempt) != nil else { return [] }
    phase = .committed
    wakeAt = nil
    return cancelRest() + [.commit(attempt: attempt)]
  }

  private mutating func end() -> [Action] {
    phase = .over
    wakeAt = nil
    return cancelRest() + [.finish]
  }

  private mutating func cancelRest() -> [Action] {
    defer { running = [:] }
    return running.keys.sorted().map { .cancel(attempt: $0) }
  }
}
