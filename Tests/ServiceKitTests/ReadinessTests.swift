import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

@Suite(.timeLimit(.minutes(1))) struct ReadinessTests {
  private struct Away: Error {}

  private final class Database: Sendable {
    let isAway = Mutex(false)
    let heard = Mutex<[Bool]>([])
  }

  @Test func whoFollowsHearsOfEveryChange() async throws {
    let database = Database()
    let readiness = Readiness()
    readiness.enter(.serving)
    readiness.require("database") { if database.isAway.withLock({ $0 }) { throw Away() } }
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await readiness.follow(every: .milliseconds(2)) { answers in database.heard.withLock { $0.append(answers) } }
      }
      do {
        for expected in [[false], [false, true], [false, true, false]] {
          database.isAway.withLock { $0 = !expected.last! }
          try await eventually("\(expected)") { database.heard.withLock { $0 } == expected }
        }
      } catch {
        Issue.record(error)
      }
      group.cancelAll()
    }
  }
}
