import TestSupport
import Testing

@testable import RPC

/// Attempt plans in any order of events.
struct AttemptPlanInvariantTests {
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
    let policy: AttemptPlan.Policy = isHedge ? try .hedging(maximum, delay) : try .retrying(maximum)
    var run = PlanRun(policy, deadline: deadline, bucket: bucket)
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

  private func event(_ run: inout PlanRun, _ model: inout Model, _ random: inout SeededRandom) -> [AttemptPlan.Action] {
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
      let wait = Int64.random(in: 0...1_000_000_000, using: &random)
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
