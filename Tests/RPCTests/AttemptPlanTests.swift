import Testing

@testable import RPC

/// When attempts are made, without sockets and clocks.
struct AttemptPlanTests {
  private static let second: Int64 = 1_000_000_000

  // MARK: - Retries

  @Test func backoffDoublesUpToItsMaximumAndThenAttemptsRunOut() throws {
    var run = PlanRun(try .retrying())
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
    guard case .retry(let policy) = try AttemptPlan.Policy.retrying() else { return }
    #expect(policy.backoff(round: 0, jitter: -1) == 800_000_000)
    #expect(policy.backoff(round: 0, jitter: 1) == 1_200_000_000)
    #expect(policy.backoff(round: 7, jitter: 1) == 3_600_000_000)
    let shrinking = try RetryPolicy(
      maximumAttempts: 5, initialBackoff: .seconds(8), maximumBackoff: .seconds(4), backoffMultiplier: 0.25)
    #expect(shrinking.backoff(round: 0, jitter: 0) == 4 * Self.second)
    #expect(shrinking.backoff(round: 2, jitter: 0) == Self.second / 2)
  }

  @Test func whatIsNotRetryableIsTheOutcome() throws {
    var run = PlanRun(try .retrying())
    _ = run.begin()
    #expect(run.failed(0, .invalidArgument) == [.finish])
    run = PlanRun(try .retrying())
    _ = run.begin()
    #expect(run.plan.succeeded(0) == [.finish])
    #expect(run.failed(0) == [])
  }

  @Test func onceHeadersAreThereNothingIsRetried() throws {
    var run = PlanRun(try .retrying())
    _ = run.begin()
    #expect(run.plan.answered(0) == [.commit(attempt: 0)])
    #expect(run.failed(0) == [])
    #expect(run.woke() == [])
  }

  @Test func pushbackSaysWhenAndResetsTheBackoff() throws {
    var run = PlanRun(try .retrying(5))
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
    run = PlanRun(try .retrying(2))
    _ = run.begin()
    #expect(run.failed(0, .internalError, .after(7)) == [.finish])
  }

  @Test(arguments: [
    (nil, AttemptPlan.Pushback.unsaid), ("0", .after(0)), ("15", .after(15_000_000)), ("-1", .never), ("", .never),
    ("soon", .never), ("1.5", .never), ("2147483647", .after(2_147_483_647_000_000)), ("2147483648", .never),
  ])
  func pushbackText(text: String?, expected: AttemptPlan.Pushback) { #expect(AttemptPlan.Pushback(text) == expected) }

  @Test func nothingStartsPastTheDeadline() throws {
    var run = PlanRun(try .retrying(), deadline: Self.second)
    _ = run.begin()
    #expect(run.failed(0) == [])  // it is over when the deadline passes
    run.now = Self.second
    #expect(run.woke() == [])
  }

  @Test func whatTheServerDidNotLookAtIsSentAgainUncounted() throws {
    var run = PlanRun(try .retrying(2))
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
    var run = PlanRun(try .retrying(5), bucket: bucket)
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
    run = PlanRun(try .retrying(), bucket: bucket)
    _ = run.begin()
    #expect(run.failed(0, .notFound) == [.finish])
    #expect(run.bucket?.tokens == 4000)
    run = PlanRun(try .retrying(), bucket: bucket)
    _ = run.begin()
    #expect(run.failed(0, .notFound, .never) == [.finish])
    #expect(run.bucket?.tokens == 3000)
  }

  // MARK: - Hedging

  @Test func copiesAreSentAtIntervalsUntilOneAnswers() throws {
    var run = PlanRun(try .hedging())
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
    var run = PlanRun(try .hedging(3, .zero))
    #expect(run.begin() == (0..<3).map { .start(attempt: $0, previous: $0) })
    #expect(run.failed(1) == [])
    #expect(run.failed(0) == [])
    #expect(run.failed(2) == [.finish])
  }

  @Test func aFailureBringsTheNextOneForwardAndAFatalOneEndsAll() throws {
    var run = PlanRun(try .hedging())
    _ = run.begin()
    run.now = 5
    #expect(run.failed(0) == [.start(attempt: 1, previous: 1), .wake(at: 5 + Self.second)])
    run.now = 6
    #expect(run.failed(1) == [.start(attempt: 2, previous: 2)])
    #expect(run.failed(2) == [.finish])
    run = PlanRun(try .hedging(2, .zero))
    _ = run.begin()
    #expect(run.failed(1, .invalidArgument) == [.cancel(attempt: 0), .finish])
  }

  @Test func pushbackDelaysOrStopsTheNextCopy() throws {
    var run = PlanRun(try .hedging())
    _ = run.begin()
    #expect(run.failed(0, .unavailable, .after(9 * Self.second)) == [.wake(at: 9 * Self.second)])
    run.now = Self.second
    #expect(run.woke() == [])
    run.now = 9 * Self.second
    #expect(run.woke() == [.start(attempt: 1, previous: 1), .wake(at: 10 * Self.second)])
    #expect(run.failed(1, .unavailable, .never) == [.finish])
    run = PlanRun(try .hedging())
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
    var run = PlanRun(try .hedging(), bucket: bucket)
    #expect(run.begin() == [.start(attempt: 0, previous: 0), .wake(at: Self.second)])
    run.now = Self.second
    #expect(run.woke() == [])
    #expect(run.failed(0) == [.finish])
  }
}
