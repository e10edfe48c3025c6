import Testing

@testable import RPC

/// Age, idleness and keepalive, on a clock of the test's.
@Suite struct ConnectionLifetimeTests {
  private let second: Int64 = 1_000_000_000

  private func lifetime(spread: Double = 0, _ change: (inout ServerOptions) -> Void) -> ConnectionLifetime {
    var options = ServerOptions()
    options.keepaliveInterval = nil
    change(&options)
    return ConnectionLifetime(options: options, now: 0, spread: spread)
  }

  @Test func byDefaultOnlyThePeersLifeIsAskedFor() {
    var lifetime = ConnectionLifetime(options: ServerOptions(), now: 0, spread: 0)
    #expect(lifetime.check(hasHeard: false, hadCalls: false, now: 7_199 * second) == nil)
    #expect(lifetime.check(hasHeard: false, hadCalls: false, now: 7_200 * second) == .ping)
    #expect(lifetime.check(hasHeard: true, hadCalls: false, now: 7_219 * second) == nil)
    #expect(lifetime.check(hasHeard: false, hadCalls: false, now: 14_419 * second) == .ping)
    #expect(lifetime.isAwaitingPong)
    #expect(lifetime.check(hasHeard: false, hadCalls: false, now: 14_438 * second) == nil)
    #expect(lifetime.check(hasHeard: false, hadCalls: false, now: 14_439 * second) == .close)
  }

  @Test func anOldConnectionIsDrainedOnceAndCutShortOnce() {
    var lifetime = lifetime {
      $0.maximumConnectionAge = .seconds(100)
      $0.maximumConnectionAgeGrace = .seconds(10)
    }
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 99 * second) == nil)
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 100 * second) == .drain)
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 109 * second) == nil)
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 110 * second) == .cutShort)
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 111 * second) == nil)
  }

  @Test func withoutAGraceCallsMayTakeForEver() {
    var lifetime = lifetime { $0.maximumConnectionAge = .seconds(100) }
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 100 * second) == .drain)
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: .max) == nil)
  }

  @Test func agesAreSpreadByATenth() {
    for (spread, limit) in [(-1.0, 90), (1.0, 110)] as [(Double, Int64)] {
      var lifetime = lifetime(spread: spread) { $0.maximumConnectionAge = .seconds(100) }
      #expect(lifetime.check(hasHeard: true, hadCalls: true, now: (limit - 1) * second) == nil)
      #expect(lifetime.check(hasHeard: true, hadCalls: true, now: limit * second) == .drain)
    }
    var unlimited = lifetime { $0.maximumConnectionAge = .seconds(Int64.max) }
    #expect(unlimited.check(hasHeard: true, hadCalls: true, now: .max - 1) == nil)
  }

  @Test func idleIsWithoutCallsNotWithoutBytes() {
    var lifetime = lifetime { $0.maximumConnectionIdle = .seconds(10) }
    #expect(lifetime.check(hasHeard: true, hadCalls: true, now: 9 * second) == nil)
    #expect(lifetime.check(hasHeard: true, hadCalls: false, now: 18 * second) == nil)
    #expect(lifetime.check(hasHeard: true, hadCalls: false, now: 19 * second) == .drain)
  }
}
