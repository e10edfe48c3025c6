@testable import RPC

/// An attempt plan with what is around it: no sockets, and a clock that tests set.
struct PlanRun {
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

extension AttemptPlan.Policy {
  static func retrying(_ attempts: Int = 4) throws -> AttemptPlan.Policy {
    .retry(
      try RetryPolicy(
        maximumAttempts: attempts, initialBackoff: .seconds(1), maximumBackoff: .seconds(3), backoffMultiplier: 2))
  }

  static func hedging(_ attempts: Int = 3, _ delay: Duration = .seconds(1)) throws -> AttemptPlan.Policy {
    .hedge(try HedgingPolicy(maximumAttempts: attempts, hedgingDelay: delay))
  }
}
