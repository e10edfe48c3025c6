import TestSupport
import Testing

@testable import RPC

/// How pick first's attempts overlap (RFC 8305 §5, gRFC A61): the decisions, by a clock of their own.
@Suite struct HappyEyeballsTests {
  private static let (a, b, c) = (address(1), address(2), address(3))
  private static let (delay, timeout): (Int64, Int64) = (250_000_000, 5_000_000_000)

  private static func address(_ number: Int) -> ServerAddress { .ip("127.0.0.\(number)", port: 80) }

  private static func pickFirst(_ addresses: [ServerAddress], delay: Int64 = delay) -> PickFirst {
    let backoff = Backoff(minimum: 100, maximum: 1_000, multiplier: 2)
    return PickFirst(
      addresses: addresses, attempts: Reconnection(backoff: backoff, shortLife: 50), connectTimeout: timeout,
      attemptDelay: delay)
  }

  private static func connect(_ address: ServerAddress, after wait: Int64 = 0) -> BalancerAction {
    .connect(address, after: wait, timeout: timeout)
  }

  private static let next = BalancerAction.wake(nil, after: delay)

  @Test func theNextIsTriedBesideOneThatDoesNotAnswer() {
    var balancer = Self.pickFirst([Self.a, Self.b, Self.c])
    #expect(balancer.connect(now: 0) == [Self.connect(Self.a), Self.next])
    #expect(balancer.woke(nil, now: Self.delay - 1) == [])
    #expect(balancer.woke(nil, now: Self.delay) == [Self.connect(Self.b), Self.next])
    #expect(balancer.woke(nil, now: 2 * Self.delay) == [Self.connect(Self.c)], "nothing is left to wake for")
    #expect(balancer.woke(nil, now: 3 * Self.delay) == [])
    #expect(balancer.pending == [Self.a, Self.b, Self.c])
    #expect(balancer.state == .connecting)
    #expect(balancer.connected(Self.b, now: 4 * Self.delay) == [.drop(Self.a), .drop(Self.c)], "the first one wins")
    #expect(balancer.state == .ready)
    #expect(balancer.selected == Self.b)
    #expect(balancer.connected(Self.c, now: 4 * Self.delay) == [])
    #expect(balancer.failed(Self.a, "late news", now: 4 * Self.delay, spread: 0) == [])
    #expect(balancer.selected == Self.b)
    #expect(balancer.state == .ready)
  }

  @Test func aFailureOfTheLatestIsNotWaitedAfter() {
    var balancer = Self.pickFirst([Self.a, Self.b, Self.c])
    _ = balancer.connect(now: 0)
    #expect(balancer.failed(Self.a, "refused", now: 100, spread: 0) == [Self.connect(Self.b), Self.next])
    #expect(balancer.woke(nil, now: Self.delay) == [], "what the first one asked for")
    #expect(balancer.woke(nil, now: Self.delay + 100) == [Self.connect(Self.c)])
  }

  @Test func aFailureOfAnEarlierOneChangesNothing() {
    var balancer = Self.pickFirst([Self.a, Self.b, Self.c])
    _ = balancer.connect(now: 0)
    _ = balancer.woke(nil, now: Self.delay)
    #expect(balancer.failed(Self.a, "refused", now: Self.delay + 1, spread: 0) == [])
    #expect(balancer.failed(Self.b, "refused", now: Self.delay + 2, spread: 0) == [Self.connect(Self.c)])
    #expect(balancer.connected(Self.c, now: Self.delay + 3) == [])
  }

  @Test func aPassHasFailedWhenAllHave() {
    var balancer = Self.pickFirst([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    _ = balancer.woke(nil, now: Self.delay)
    #expect(balancer.failed(Self.b, "refused", now: Self.delay, spread: 0) == [])
    #expect(balancer.state == .connecting)
    #expect(balancer.failed(Self.a, "silent", now: Self.timeout, spread: 0) == [.wake(nil, after: 100), .resolve])
    #expect(balancer.state == .transientFailure)
    #expect(balancer.lastError == "127.0.0.1:80: silent")
    #expect(balancer.woke(nil, now: Self.timeout + 99) == [])
    #expect(balancer.state == .transientFailure)
    #expect(balancer.woke(nil, now: Self.timeout + 100) == [])
    #expect(balancer.state == .idle)
    #expect(balancer.connect(now: Self.timeout + 100) == [Self.connect(Self.a), Self.next])
  }

  /// What was asked for in a pass comes when it is over.
  @Test func aWakeThatIsTooLate() {
    var balancer = Self.pickFirst([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    #expect(balancer.connected(Self.a, now: 1) == [])
    #expect(balancer.woke(nil, now: Self.delay) == [])
    #expect(balancer.state == .ready)
    #expect(balancer.lost(Self.a, true, now: Self.delay, spread: 0) == [])
    #expect(balancer.woke(nil, now: Self.delay) == [])
    #expect(balancer.state == .idle)
    #expect(balancer.connect(now: Self.delay) == [.resolve, Self.connect(Self.a), Self.next])
    balancer.stop()
    #expect(balancer.pending == [])
    #expect(balancer.woke(nil, now: 2 * Self.delay) == [])
    #expect(balancer.failed(Self.a, "late news", now: 2 * Self.delay, spread: 0) == [])
    #expect(balancer.state == .idle)
  }

  /// The rest after a connection that did not last is over before the delay begins.
  @Test func aRestBeforeTheFirstAttempt() {
    var balancer = Self.pickFirst([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    _ = balancer.connected(Self.a, now: 0)
    _ = balancer.lost(Self.a, true, now: 40, spread: 0)
    #expect(
      balancer.connect(now: 50)
        == [.resolve, Self.connect(Self.a, after: 90), .wake(nil, after: 90 + Self.delay)])
    #expect(balancer.woke(nil, now: Self.delay) == [])
    #expect(balancer.woke(nil, now: Self.delay + 140) == [Self.connect(Self.b)])
  }

  @Test func addressesThatChangeInAPass() {
    var balancer = Self.pickFirst([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    _ = balancer.woke(nil, now: Self.delay)
    #expect(
      balancer.resolved([Self.b, Self.c], now: Self.delay + 10)
        == [.drop(Self.a), .wake(nil, after: Self.delay - 10)], "the latest goes on, and there is a next one again")
    #expect(balancer.resolved([Self.b, Self.c], now: Self.delay + 20) == [], "which is waited for already")
    #expect(balancer.resolved([Self.a, Self.c], now: Self.delay + 30) == [.drop(Self.b), Self.connect(Self.c)])
    #expect(balancer.resolved([Self.a], now: Self.delay + 40) == [.drop(Self.c), Self.connect(Self.a)])
    #expect(balancer.connected(Self.a, now: Self.delay + 50) == [])
    #expect(balancer.selected == Self.a)
  }

  @Test func familiesTakeTurns() {
    let six = (1...2).map { ServerAddress.ip("::\($0)", port: 80) }
    var balancer = Self.pickFirst([six[0], six[1], six[0], Self.a, Self.b])
    #expect(balancer.connect(now: 0) == [Self.connect(six[0]), Self.next])
    #expect(balancer.woke(nil, now: Self.delay) == [Self.connect(Self.a), Self.next])
    #expect(
      balancer.resolved([Self.b, Self.c, six[0], six[1]], now: Self.delay)
        == [.drop(Self.a), Self.connect(Self.b), Self.next])
    #expect(balancer.woke(nil, now: 2 * Self.delay) == [Self.connect(Self.c), Self.next])
    #expect(balancer.woke(nil, now: 3 * Self.delay) == [Self.connect(six[1])])
  }

  @Test(arguments: [(0, 100), (99, 100), (100, 100), (250, 250), (2_000, 2_000), (60_000, 2_000)])
  func theDelayIsWithinBounds(given: Int64, counts: Int64) {
    var balancer = Self.pickFirst([Self.a, Self.b], delay: given * 1_000_000)
    #expect(balancer.connect(now: 0).last == .wake(nil, after: counts * 1_000_000))
    #expect(ClientOptions().connectionAttemptDelay == .milliseconds(250))
  }

  // MARK: - Against a model

  /// What becomes of an attempt, and how many nanoseconds after its start.
  private struct Outcome {
    var connects: Bool
    var after: Int64
  }

  /// Plays a pass: does what the balancer says, by a clock that jumps from event to event.
  private struct Pass {
    enum Event {
      case woke
      case over(ServerAddress, Outcome)
    }

    var balancer: PickFirst
    let outcomes: [ServerAddress: Outcome]
    var events: [(at: Int64, event: Event)] = []
    var now: Int64 = 0
    var started: [ServerAddress: Int64] = [:]
    var given: Set<ServerAddress> = []

    mutating func run() {
      perform(balancer.connect(now: now))
      while balancer.state == .connecting, let next = events.indices.min(by: { events[$0].at < events[$1].at }) {
        let (time, event) = events.remove(at: next)
        now = time
        switch event {
        case .woke: perform(balancer.woke(nil, now: now))
        case .over(let address, _) where given.contains(address): break
        case .over(let address, let outcome) where outcome.connects: perform(balancer.connected(address, now: now))
        case .over(let address, _): perform(balancer.failed(address, "failed", now: now, spread: 0))
        }
      }
    }

    private mutating func perform(_ actions: [BalancerAction]) {
      for action in actions {
        switch action {
        case .connect(let address, let wait, _):
          #expect(started.updateValue(now + wait, forKey: address) == nil, "tried once a pass")
          guard let outcome = outcomes[address] else { continue }
          events.append((now + wait + outcome.after, .over(address, outcome)))
        case .drop(let address): given.insert(address)
        case .wake(_, let wait): if balancer.state == .connecting { events.append((now + wait, .woke)) }
        case .resolve: break
        }
      }
    }
  }

  /// Each starts the delay after the one before it, or when that fails; who connects first of all wins.
  @Test func passesAgainstAModel() {
    var random = SeededRandom()
    for _ in 0..<2_000 {
      let addresses = (1...Int.random(in: 1...6, using: &random)).map(Self.address)
      var outcomes: [ServerAddress: Outcome] = [:]
      var starts: [Int64] = [0]
      for address in addresses {
        let connects = Int.random(in: 0..<3, using: &random) == 0
        let after = Int64.random(in: 1...(Bool.random(using: &random) ? Self.delay : Self.timeout), using: &random)
        outcomes[address] = Outcome(connects: connects, after: after)
        starts.append((starts.last ?? 0) + (connects ? Self.delay : min(after, Self.delay)))
      }
      let ends = zip(addresses, starts).map { (address: $0, at: $1 + (outcomes[$0]?.after ?? 0)) }
      let winner = ends.filter { outcomes[$0.address]?.connects == true }.min { $0.at < $1.at }
      var pass = Pass(balancer: Self.pickFirst(addresses), outcomes: outcomes)
      pass.run()
      #expect(pass.balancer.selected == winner?.address)
      #expect(pass.now == winner?.at ?? ends.map(\.at).max())
      #expect(pass.balancer.state == (winner == nil ? .transientFailure : .ready))
      #expect(pass.balancer.pending == [])
      let expected = zip(addresses, starts).filter { $0.1 <= pass.now }
      #expect(pass.started == Dictionary(uniqueKeysWithValues: expected.map { ($0.0, $0.1) }))
      let failed = ends.filter { outcomes[$0.address]?.connects == false && $0.at <= pass.now }.map(\.address)
      let left = Set(pass.started.keys).subtracting(failed).subtracting(winner.map { [$0.address] } ?? [])
      #expect(pass.given == left, "what was under way is given up")
    }
  }
}
