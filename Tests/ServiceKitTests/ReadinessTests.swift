import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

@Suite(.timeLimit(.minutes(1))) struct ReadinessTests {
  private struct Away: Error {}

  @Test func whoFollowsHearsOfEveryChange() async throws {
    let isAway = Mutex(false)
    let heard = Mutex<[Bool]>([])
    let readiness = Readiness()
    readiness.enter(.serving)
    readiness.require("database") { if isAway.withLock({ $0 }) { throw Away() } }
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await readiness.follow(every: .milliseconds(2)) { answers in heard.withLock { $0.append(answers) } }
      }
      do {
        for expected in [[false], [false, true], [false, true, false]] {
          isAway.withLock { $0 = !expected.last! }
          try await eventually("\(expected)") { heard.withLock { $0 } == expected }
        }
      } catch {
        Issue.record(error)
      }
      group.cancelAll()
    }
  }
}
