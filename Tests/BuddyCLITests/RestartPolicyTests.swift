import Testing

@testable import BuddyCLI

@Suite("When a service is started again")
struct RestartPolicyTests {
  @Test("pauses double from 200 ms to 10 s")
  func doubling() {
    var policy = RestartPolicy()
    let pauses = (1...8).map { _ in policy.died(.exited(1), after: .seconds(11)) }
    let expected: [Int64] = [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
    #expect(pauses == expected.enumerated().map { .restart(after: .milliseconds($1), count: $0 + 1) })
  }

  @Test("a minute of health makes the pauses begin anew, and goes on counting")
  func healthy() {
    var policy = RestartPolicy()
    for _ in 0..<3 { _ = policy.died(.exited(1), after: .seconds(30)) }
    #expect(policy.died(.killed(signal: 9), after: .seconds(60)) == .restart(after: .milliseconds(200), count: 4))
    #expect(policy.died(.exited(1), after: .seconds(59)) == .restart(after: .milliseconds(400), count: 5))
  }

  @Test("five deaths in a row within 10 s of a start are the end")
  func earlyDeaths() {
    var policy = RestartPolicy()
    for count in 1...4 {
      guard case .restart(_, count) = policy.died(.exited(1), after: .seconds(1)) else {
        Issue.record("given up after \(count)")
        return
      }
    }
    guard case .giveUp(let reason) = policy.died(.exited(1), after: .seconds(9.9)) else {
      Issue.record("not given up")
      return
    }
    #expect(reason.contains("5 times"))
  }

  @Test("a longer run in between forgives the early deaths before it")
  func forgiven() {
    var policy = RestartPolicy()
    for _ in 0..<4 { _ = policy.died(.exited(1), after: .zero) }
    _ = policy.died(.exited(1), after: .seconds(10))
    for _ in 0..<4 {
      guard case .restart = policy.died(.exited(1), after: .zero) else {
        Issue.record("given up")
        return
      }
    }
  }

  @Test(
    "what no restart cures is given up at once",
    arguments: [ServiceEnding.exited(64), .notStarted("no such file")])
  func incurable(_ ending: ServiceEnding) {
    var policy = RestartPolicy()
    guard case .giveUp = policy.died(ending, after: .seconds(100)) else {
      Issue.record("restarted")
      return
    }
  }

  @Test("a clean exit nobody asked for is a death too")
  func cleanExit() {
    var policy = RestartPolicy()
    #expect(policy.died(.exited(0), after: .seconds(20)) == .restart(after: .milliseconds(200), count: 1))
  }

  @Test("endings in words")
  func words() {
    #expect("\(ServiceEnding.exited(3))" == "exited with status 3")
    #expect("\(ServiceEnding.killed(signal: 9))" == "was killed by signal 9 (SIGKILL)")
    #expect("\(ServiceEnding.killed(signal: 63))" == "was killed by signal 63")
  }
}
