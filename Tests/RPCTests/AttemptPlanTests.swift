import TestSupport
import Testing

@testable import RPC

/// When attempts are made, without sockets and clocks.
struct AttemptPlanTests {
  private static let second: Int64 = 1_000_000_000

  private static func retry(_ attempts: Int = 4) throws -> AttemptPlan.Policy {
    .retry(
      try RetryPolicy(
        maximumAttempts: attempts, initialBackoff: .seconds(1), maximumBackoff: .seconds(3), backoffMultiplier: 2))
  }

  private static func hedge(_ attempts: Int = 3, _ delay: Duration = .seconds(1)) throws -> AttemptPlan.Policy {
    .hedge(try HedgingPolicy(maximumAttempts: attempts, hedgingDelay: delay))
  }

  /// A plan with what is around it.
  private struct Run {
    var plan: AttemptPlan
    var bucket: TokenBucket?
    var now: Int64 = 0

    init(_ policy: AttemptPlan.Policy, deadline: Int64 = .max, bucket: TokenBucket? = nil) {
      plan = AttemptPlan(policy, deadline: deadline)
      self.bucket = bucket
    }

    mutating func begin() -> [AttemptPlan.Action] { plan.begin(now: now, bucket) }
    mutating func woke() -> [AttemptPlan.Action] { plan.woke(now: now, bucket) }
    mutating func failed(
      _ attempt: Int, _ code: Status.Code = .unavailable, _ pushback: AttemptPlan.Pushback = .unsaid, jitter: Double = 0
    ) -> [AttemptPlan.Action] {
      plan.failed(attempt, code, pushback, now: now, jitter: jitter, &bucket)
    }
    mutating func refused(_ attempt: Int, neverLeft: Bool = false) -> [AttemptPlan.Action] {
      plan.refused(attempt, neverLeft: neverLeft, now: now, jitter: 0, &bucket)
    }
  }

  // MARK: - Retries

  @Test func backoffDoublesUpToItsMaximumAndThenAttemptsRunOut() throws {
    var run = Run(try Self.retry())
    var steps = [run.begin()]
    for (attempt, wait) in [(0, 1), (1, 2), (2, 3)] {
      steps.append(run.failed(attempt))
      #expect(steps.last == [.wake(at: run.now + Int64(wait) * Self.second)])
      #expect(run.woke() == [])  // not yet
      run.now += Int64(wait) * Self.second
      steps.append(run.woke())
      #expect(steps.last == [.start(attempt: attempt + 1, previous: attempt + 1)])
    }
    #expect(steps[0] == [.start(attempt: 0, previous: 0)])
    #expect(run.failed(3) == [.finish])
    #expect(run.woke() == [])
  }

  @Test func jitterIsATwentiethEachWayOfTheLongestToo() throws {
    guard case .retry(let policy) = try Self.retry() else { return }
    #expect(policy.backoff(round: 0, jitter: -1) == 800_000_000)
    #expect(policy.backoff(round: 0, jitter: 1) == 1_200_000_000)
    #expect(policy.backoff(round: 7, jitter: 1) == 3_600_000_000)
    let shrinking = try RetryPolicy(
      maximumAttempts: 5, initialBackoff: .seconds(8), maximumBackoff: .seconds(4), backoffMultiplier: 0.25)
    #expect(shrinking.backoff(round: 0, jitter: 0) == 4 * Self.second)
    #expect(shrinking.backoff(round: 2, jitter: 0) == Self.second / 2)
  }

  @Test func whatIsNotRetryableIsTheOutcome() throws {
    var run = Run(try Self.retry())
    _ = run.begin()
    #expect(run.failed(0, .invalidArgument) == [.finish])
    run = Run(try Self.retry())
    _ = run.begin()
    #expect(run.plan.succeeded(0) == [.finish])
    #expect(run.failed(0) == [])
  }

  @Test func onceHeadersAreThereNothingIsRetried() throws {
    var run = Run(try Self.retry())
    _ = run.begin()
    #expect(run.plan.answered(0) == [.commit(attempt: 0)])
    #expect(run.failed(0) == [])
    #expect(run.woke() == [])
  }

  @Test func pushbackSaysWhenAndResetsTheBackoff() throws {
    var run = Run(try Self.retry(5))
    _ = run.begin()
    #expect(run.failed(0) == [.wake(at: Self.second)])
    run.now = Self.second
    _ = run.woke()
    #expect(run.failed(1, .unavailable, .after(7)) == [.wake(at: run.now + 7)])
    run.now += 7
    _ = run.woke()
    #expect(run.failed(2) == [.wake(at: run.now + Self.second)])
    run.now += Self.second
    _ = run.woke()
    #expect(run.failed(3, .unavailable, .never) == [.finish])
    // It gives no attempts beyond the maximum, and no retry of another code.
    run = Run(try Self.retry(2))
    _ = run.begin()
    #expect(run.failed(0, .internalError, .after(7)) == [.finish])
  }

  @Test(arguments: [
    (nil, AttemptPlan.Pushback.unsaid), ("0", .after(0)), ("15", .after(15_000_000)), ("-1", .never), ("", .never),
    ("soon", .never), ("1.5", .never), ("2147483647", .after(2_147_483_647_000_000)), ("2147483648", .never),
  ])
  func pushbackText(text: String?, expected: AttemptPlan.Pushback) { #expect(AttemptPlan.Pushback(text) == expected) }

  @Test func nothingStartsPastTheDeadline() throws {
    var run = Run(try Self.retry(), deadline: Self.second)
    _ = run.begin()
    #expect(run.failed(0) == [])  // it is over when the deadline passes
    run.now = Self.second
    #expect(run.woke() == [])
  }

  @Test func whatTheServerDidNotLookAtIsSentAgainUncounted() throws {
    var run = Run(try Self.retry(2))
    _ = run.begin()
    #expect(run.refused(0) == [.start(attempt: 1, previous: 0)])
    for attempt in 1..<20 {
      #expect(run.refused(attempt, neverLeft: true) == [.start(attempt: attempt + 1, previous: 0)])
    }
    #expect(run.refused(20) == [.wake(at: Self.second)])  // once a call; then it is UNAVAILABLE like any other
    run.now = Self.second
    #expect(run.woke() == [.start(attempt: 21, previous: 1)])
    #expect(run.refused(21) == [.finish])
  }

  @Test func withoutTokensNothingIsRepeated() throws {
    let bucket = TokenBucket(try RetryThrottling(maximumTokens: 4, tokenRatio: 0.5))
    var run = Run(try Self.retry(5), bucket: bucket)
    _ = run.begin()
    #expect(run.failed(0) == [.wake(at: Self.second)])  // 3 of 4
    run.now = Self.second
    _ = run.woke()
    #expect(run.failed(1) == [.finish])  // 2: not more than half
    #expect(run.bucket?.tokens == 2000)
    run.bucket?.succeeded()
    #expect(run.bucket?.allowsRetry == true)
    for _ in 0..<10 { run.bucket?.succeeded() }
    #expect(run.bucket?.tokens == 4000)
    // What could not be retried takes no token, but what says "do not retry" does.
    run = Run(try Self.retry(), bucket: bucket)
    _ = run.begin()
    #expect(run.failed(0, .notFound) == [.finish])
    #expect(run.bucket?.tokens == 4000)
    run = Run(try Self.retry(), bucket: bucket)
    _ = run.begin()
    #expect(run.failed(0, .notFound, .never) == [.finish])
    #expect(run.bucket?.tokens == 3000)
  }

  // MARK: - Hedging

  @Test func copiesAreSentAtIntervalsUntilOneAnswers() throws {
    var run = Run(try Self.hedge())
    #expect(run.begin() == [.start(attempt: 0, previous: 0), .wake(at: Self.second)])
    run.now = Self.second
    #expect(run.woke() == [.start(attempt: 1, previous: 1), .wake(at: 2 * Self.second)])
    run.now = 2 * Self.second
    #expect(run.woke() == [.start(attempt: 2, previous: 2)])
    #expect(run.woke() == [])
    #expect(run.plan.answered(1) == [.cancel(attempt: 0), .cancel(attempt: 2), .commit(attempt: 1)])
    #expect(run.failed(0) == [])
  }

  @Test func withoutDelayAllAreSentAtOnce() throws {
    var run = Run(try Self.hedge(3, .zero))
    #expect(run.begin() == (0..<3).map { .start(attempt: $0, previous: $0) })
    #expect(run.failed(1) == [])
    #expect(run.failed(0) == [])
    #expect(run.failed(2) == [.finish])
  }

  @Test func aFailureBringsTheNextOneForwardAndAFatalOneEndsAll() throws {
    var run = Run(try Self.hedge())
    _ = run.begin()
    run.now = 5
    #expect(run.failed(0) == [.start(attempt: 1, previous: 1), .wake(at: 5 + Self.second)])
    run.now = 6
    #expect(run.failed(1) == [.start(attempt: 2, previous: 2)])
    #expect(run.failed(2) == [.finish])
    run = Run(try Self.hedge(2, .zero))
    _ = run.begin()
    #expect(run.failed(1, .invalidArgument) == [.cancel(attempt: 0), .finish])
  }

  @Test func pushbackDelaysOrStopsTheNextCopy() throws {
    var run = Run(try Self.hedge())
    _ = run.begin()
    #expect(run.failed(0, .unavailable, .after(9 * Self.second)) == [.wake(at: 9 * Self.second)])
    run.now = Self.second
    #expect(run.woke() == [])
    run.now = 9 * Self.second
    #expect(run.woke() == [.start(attempt: 1, previous: 1), .wake(at: 10 * Self.second)])
    #expect(run.failed(1, .unavailable, .never) == [.finish])
    run = Run(try Self.hedge())
    _ = run.begin()
    run.now = Self.second
    _ = run.woke()
    #expect(run.failed(0, .unavailable, .never) == [])
    run.now = 2 * Self.second
    #expect(run.woke() == [])
    #expect(run.failed(1) == [.finish])
  }

  @Test func withoutTokensNoCopyIsSent() throws {
    var bucket = TokenBucket(try RetryThrottling(maximumTokens: 2, tokenRatio: 1))
    bucket.failed()
    var run = Run(try Self.hedge(), bucket: bucket)
    #expect(run.begin() == [.start(attempt: 0, previous: 0), .wake(at: Self.second)])
    run.now = Self.second
    #expect(run.woke() == [])
    #expect(run.failed(0) == [.finish])
  }

  // MARK: - Any sequence

  /// Random events, against what must hold whatever happens.
  @Test func invariants() throws {
    var random = SeededRandom()
    for _ in 0..<5_000 { try check(&random) }
  }

  private func check(_ random: inout SeededRandom) throws {
    let maximum = Int.random(in: 2...6, using: &random)
    let isHedge = Bool.random(using: &random)
    let delay = Duration.milliseconds([0, 5, 100].randomElement(using: &random) ?? 0)
    let deadline = Bool.random(using: &random) ? Int64.max : Int64.random(in: 1...400, using: &random) * 10_000_000
    let throttling = try RetryThrottling(maximumTokens: .random(in: 1...6, using: &random), tokenRatio: 0.1)
    let bucket = Bool.random(using: &random) ? TokenBucket(throttling) : nil
    let policy = isHedge ? try Self.hedge(maximum, delay) : try Self.retry(maximum)
    var run = Run(policy, deadline: deadline, bucket: bucket)
    var model = Model(maximum: min(5, maximum), isHedge: isHedge, deadline: deadline)
    model.take(run.begin(), at: run.now)
    for _ in 0..<30 {
      run.now += Int64.random(in: 0...200, using: &random) * 10_000_000
      if run.now >= deadline { break }
      if let wake = model.wake, Bool.random(using: &random) { run.now = max(run.now, wake) }
      model.take(event(&run, &model, &random), at: run.now)
      if model.isDone { break }
      #expect(!model.running.isEmpty || model.wake != nil || run.plan.wakeAt ?? 0 >= deadline, "a call that hangs")
    }
    guard model.isDone else { return }
    run.now = max(run.now, min(deadline, .max / 2))
    #expect(run.failed(0) + run.refused(1) + run.woke() + run.plan.answered(1) == [], "after the end")
  }

  private func event(_ run: inout Run, _ model: inout Model, _ random: inout SeededRandom) -> [AttemptPlan.Action] {
    let choice = Int.random(in: 0..<8, using: &random)
    guard choice > 1, let attempt = model.running.randomElement(using: &random) else { return run.woke() }
    if choice == 7 {
      return Bool.random(using: &random) ? run.plan.answered(attempt) : run.plan.overflowed(attempt)
    }
    model.running.remove(attempt)
    switch choice {
    case 2: return run.refused(attempt, neverLeft: Bool.random(using: &random))
    case 3: return run.failed(attempt, .invalidArgument)
    case 4:
      let wait = Int64.random(in: 0...Self.second, using: &random)
      return run.failed(attempt, .unavailable, Bool.random(using: &random) ? .after(wait) : .never)
    default: return run.failed(attempt, jitter: Double.random(in: -1...1, using: &random))
    }
  }

  /// What may be seen from outside, and what must hold of it.
  private struct Model: Equatable {
    let maximum: Int
    let isHedge: Bool
    let deadline: Int64
    var running: Set<Int> = []
    var previous: Set<Int> = []
    var wake: Int64?
    var isDone = false

    mutating func take(_ actions: [AttemptPlan.Action], at now: Int64) {
      for action in actions {
        #expect(!isDone, "\(action) after the end")
        switch action {
        case .start(let attempt, let before):
          #expect(now < deadline)
          #expect(before < maximum)
          #expect(!running.contains(attempt))
          running.insert(attempt)
          previous.insert(before)
          #expect(previous.count <= maximum)
          #expect(isHedge || running.count == 1)
          wake = nil
        case .wake(let time):
          #expect(time >= now && time < deadline)
          wake = time
        case .cancel(let attempt): #expect(running.remove(attempt) != nil)
        case .commit(let attempt):
          #expect(running.remove(attempt) != nil)
          isDone = true
        case .finish:
          #expect(running.isEmpty)
          isDone = true
        }
      }
    }
  }
}
