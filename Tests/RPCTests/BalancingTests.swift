import TestSupport
import Testing

@testable import RPC

/// The decisions alone: no sockets, no clock.
@Suite struct BalancingTests {
  private static let (a, b, c) = (address(1), address(2), address(3))
  private static let second: Int64 = 1_000_000_000
  private static let next = BalancerAction.wake(nil, after: second / 4)

  private static func address(_ number: Int) -> ServerAddress { .ip("127.0.0.\(number)", port: 80) }

  private static var attempts: Reconnection {
    Reconnection(backoff: Backoff(minimum: 100, maximum: 1_000, multiplier: 2), shortLife: 50)
  }

  private static func pickFirst(_ addresses: [ServerAddress]?) -> PickFirst {
    PickFirst(addresses: addresses, attempts: attempts, connectTimeout: 6 * second, attemptDelay: second / 4)
  }

  private static func roundRobin(_ addresses: [ServerAddress]?) -> RoundRobin {
    RoundRobin(addresses: addresses, attempts: attempts, connectTimeout: 6 * second)
  }

  // MARK: - Backoff

  @Test func restsGrowAndAreSpread() {
    var backoff = Backoff(minimum: 1_000, maximum: 5_000, multiplier: 1.6)
    #expect((0..<6).map { _ in backoff.rest(spread: 0) } == [1_000, 1_600, 2_560, 4_096, 5_000, 5_000])
    #expect(backoff.rest(spread: 1) == 6_000)
    #expect(backoff.rest(spread: -1) == 4_000)
    backoff.reset()
    #expect(backoff.rest(spread: 0) == 1_000)
    let documented = ClientOptions()
    #expect(documented.minimumBackoff == .milliseconds(100))
    #expect(documented.backoffMultiplier == 1.6)
    #expect(documented.maximumBackoff == .seconds(10))
  }

  @Test func reconnection() {
    var machine = Self.attempts
    var now: Int64 = 0
    for rest: Int64 in [100, 200, 400, 800, 1_000, 1_000] {
      #expect(machine.begin(now: now) == 0)
      #expect(machine.begin(now: now) == nil)
      #expect(machine.failed(now: now, spread: 0) == rest)
      #expect(machine.begin(now: now) == nil)
      let isTooEarly = machine.restEnded(now: now + rest - 1)
      #expect(!isTooEarly)
      now += rest
      let isOver = machine.restEnded(now: now)
      #expect(isOver)
    }
    #expect(machine.begin(now: now) == 0)
    machine.connected(now: now)
    machine.lost(true, now: now + 49, spread: 0)
    #expect(machine.begin(now: now + 50) == 99, "a connection that is closed at once is not made again at once")
    machine.connected(now: now + 2_000)
    machine.lost(true, now: now + 3_000, spread: 0)
    #expect(machine.begin(now: now + 3_000) == 0)
    #expect(machine.failed(now: now, spread: 0) == 100, "a connection that lasted sets the backoff back")
  }

  /// A server that says SETTINGS and GOAWAY to every connection is there no more than one that refuses them.
  @Test func connectionsOfNoUseAreMadeLessAndLessOften() {
    var machine = Self.attempts
    var now: Int64 = 0
    var before: Int64 = 0
    for rest: Int64 in [100, 200, 400, 800, 1_000, 1_000] {
      #expect(machine.begin(now: now) == before)
      now += before
      machine.connected(now: now)
      machine.lost(false, now: now + 1, spread: 0)
      now += 1
      before = rest
    }
    #expect(machine.begin(now: now) == 1_000)
    machine.connected(now: now + 1_000)
    machine.lost(true, now: now + 1_001, spread: 0)
    #expect(machine.begin(now: now + 1_001) == 100, "a call was answered")
  }

  // MARK: - Pick first

  /// How attempts overlap: see `HappyEyeballsTests`.
  @Test func aPassTriesEachAddress() {
    var balancer = Self.pickFirst([Self.a, Self.b, Self.c])
    #expect(balancer.state == .idle)
    #expect(balancer.connect(now: 0) == [.connect(Self.a, after: 0, timeout: 6 * Self.second), Self.next])
    #expect(balancer.connect(now: 0) == [])
    #expect(
      balancer.failed(Self.a, "refused", now: 0, spread: 0)
        == [.connect(Self.b, after: 0, timeout: 6 * Self.second), Self.next])
    #expect(balancer.state == .connecting)
    #expect(
      balancer.failed(Self.b, "refused", now: 0, spread: 0) == [.connect(Self.c, after: 0, timeout: 6 * Self.second)])
    #expect(balancer.failed(Self.c, "gone", now: 0, spread: 0) == [.wake(nil, after: 100), .resolve])
    #expect(balancer.state == .transientFailure)
    #expect(balancer.lastError == "127.0.0.3:80: gone")
    #expect(balancer.woke(nil, now: 99) == [])
    #expect(balancer.state == .transientFailure)
    #expect(balancer.woke(nil, now: 100) == [])
    #expect(balancer.state == .idle)
    #expect(balancer.connect(now: 100).first == .connect(Self.a, after: 0, timeout: 6 * Self.second))
  }

  @Test func theFirstThatConnectsStays() {
    var balancer = Self.pickFirst([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    _ = balancer.failed(Self.a, "refused", now: 0, spread: 0)
    #expect(balancer.connected(Self.b, now: 0) == [])
    #expect(balancer.state == .ready)
    #expect(balancer.resolved([Self.a, Self.b, Self.c], now: 10) == [])
    #expect(balancer.selected == Self.b)
    #expect(balancer.lost(Self.b, true, now: 1_000, spread: 0) == [])
    #expect(balancer.state == .idle)
    // What is there may have changed: the name is asked for again while the known addresses are tried.
    #expect(
      balancer.connect(now: 1_000)
        == [.resolve, .connect(Self.a, after: 0, timeout: 6 * Self.second), Self.next])
  }

  @Test func anAddressThatIsGoneIsLeft() {
    var balancer = Self.pickFirst(nil)
    #expect(balancer.connect(now: 0) == [.resolve])
    #expect(balancer.resolved([Self.a], now: 0) == [.connect(Self.a, after: 0, timeout: 6 * Self.second)])
    #expect(
      balancer.resolved([Self.b], now: 0) == [.drop(Self.a), .connect(Self.b, after: 0, timeout: 6 * Self.second)])
    #expect(balancer.failed(Self.a, "late news", now: 0, spread: 0) == [])
    #expect(balancer.connected(Self.b, now: 0) == [])
    #expect(balancer.resolved([Self.c], now: 500) == [.drop(Self.b)])
    #expect(balancer.state == .idle)
  }

  @Test func aNewAddressEndsARest() {
    var balancer = Self.pickFirst([Self.a])
    _ = balancer.connect(now: 0)
    _ = balancer.failed(Self.a, "refused", now: 0, spread: 0)
    #expect(balancer.resolved([Self.a], now: 10) == [])
    #expect(balancer.state == .transientFailure)
    #expect(
      balancer.resolved([Self.a, Self.b], now: 20) == [.connect(Self.b, after: 0, timeout: 6 * Self.second)])
    #expect(balancer.state == .connecting)
  }

  @Test func aNameThatIsNotResolved() {
    var balancers: [any Balancer] = [Self.pickFirst(nil), Self.roundRobin(nil)]
    for index in balancers.indices {
      #expect(balancers[index].connect(now: 0) == [.resolve])
      #expect(balancers[index].state == .connecting)
      #expect(balancers[index].resolutionFailed("no such name", now: 0, spread: 0) == [.wake(nil, after: 100)])
      #expect(balancers[index].state == .transientFailure)
      #expect(balancers[index].lastError == "no such name")
    }
    #expect(balancers[0].woke(nil, now: 100) == [])
    #expect(balancers[0].state == .idle)
    #expect(balancers[1].woke(nil, now: 100) == [.resolve])
    #expect(balancers[1].resolved([Self.a], now: 200) == [.connect(Self.a, after: 0, timeout: 6 * Self.second)])
  }

  // MARK: - Round robin

  @Test func anAddressThatIsGivenTwiceCountsOnce() {
    var balancer = Self.roundRobin([Self.a, Self.a, Self.b, Self.a])
    #expect(balancer.connect(now: 0).count == 2)
    _ = balancer.failed(Self.b, "refused", now: 0, spread: 0)
    _ = balancer.failed(Self.a, "refused", now: 0, spread: 0)
    #expect(balancer.state == .transientFailure)
    balancer = Self.roundRobin(nil)
    _ = balancer.connect(now: 0)
    #expect(balancer.resolved([Self.a, Self.a], now: 0).count == 1)
  }

  @Test func theStateOfMany() {
    var balancer = Self.roundRobin([Self.a, Self.b])
    #expect(balancer.state == .idle)
    #expect(balancer.connect(now: 0).count == 2)
    #expect(balancer.state == .connecting)
    #expect(balancer.failed(Self.a, "refused", now: 0, spread: 0) == [.wake(Self.a, after: 100), .resolve])
    #expect(balancer.state == .connecting, "one is still trying for the first time")
    #expect(balancer.failed(Self.b, "refused", now: 0, spread: 0) == [.wake(Self.b, after: 100), .resolve])
    #expect(balancer.state == .transientFailure)
    #expect(balancer.lastError == "127.0.0.2:80: refused")
    #expect(balancer.woke(Self.a, now: 100) == [.connect(Self.a, after: 0, timeout: 6 * Self.second)])
    #expect(balancer.state == .transientFailure, "what failed counts as failed until it is ready")
    #expect(balancer.connected(Self.a, now: 150) == [])
    #expect(balancer.state == .ready)
    #expect(
      balancer.lost(Self.a, true, now: 500, spread: 0)
        == [.connect(Self.a, after: 0, timeout: 6 * Self.second), .resolve])
    #expect(balancer.state == .connecting)
    balancer.stop()
    #expect(balancer.state == .idle)
    #expect(balancer.woke(Self.b, now: 1_000) == [])
  }

  @Test func addressesComeAndGo() {
    var balancer = Self.roundRobin([Self.a, Self.b])
    _ = balancer.connect(now: 0)
    #expect(balancer.connected(Self.a, now: 0) == [])
    #expect(balancer.connected(Self.b, now: 0) == [])
    #expect(
      balancer.resolved([Self.b, Self.c, Self.c], now: 10)
        == [.drop(Self.a), .connect(Self.c, after: 0, timeout: 6 * Self.second)])
    #expect(balancer.state == .ready)
    #expect(balancer.failed(Self.a, "late news", now: 0, spread: 0) == [])
  }

  // MARK: - Names and addresses

  @Test func whenToResolveAgain() {
    var schedule = ResolutionSchedule(minimumInterval: 30)
    #expect(schedule.request(now: 0) == .resolve)
    #expect(schedule.request(now: 1) == .nothing)
    schedule.ended(withAnswer: false, now: 5)
    #expect(schedule.request(now: 6) == .resolve, "a failure is not waited after: the balancer rests")
    schedule.ended(withAnswer: true, now: 10)
    #expect(schedule.request(now: 15) == .later(25))
    #expect(schedule.request(now: 16) == .nothing)
    let isDue = schedule.planDue(isNeeded: true)
    #expect(isDue)
    schedule.ended(withAnswer: true, now: 41)
    #expect(schedule.request(now: 50) == .later(21))
    let isWanted = schedule.planDue(isNeeded: false)
    #expect(!isWanted)
    #expect(schedule.request(now: 80) == .resolve)
  }

  @Test func targets() {
    #expect(Target.host("example.org", port: 80).authority == "example.org:80")
    #expect(Target.host("example.org", port: 80).fixedAddresses == nil)
    #expect(Target.host("::1", port: 80).authority == "[::1]:80")
    #expect(Target.host("::1", port: 80).fixedAddresses == [.ip("::1", port: 80)])
    #expect(Target.addresses([Self.b, Self.a]).authority == "127.0.0.2:80")
    #expect(Target.addresses([]).authority == "localhost")
    #expect(Target.unixSocket(path: "/run/x").authority == "localhost")
    let six = (1...3).map { ServerAddress.ip("::\($0)", port: 1) }
    #expect(ServerAddress.interleaved([six[0], six[1], six[0], six[2], Self.a]) == [six[0], Self.a, six[1], six[2]])
    #expect(ServerAddress.interleaved([Self.a, Self.b, six[0]]) == [Self.a, six[0], Self.b])
  }

  // MARK: - The waiting list

  @Test func waitingListAgainstAModel() {
    var random = SeededRandom()
    var list = WaitingList<Int>()
    var model: [(place: Int, element: Int)] = []
    for step in 0..<20_000 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5: model.append((list.append(step), step))
      case 5..<6: #expect(list.popFirst() == (model.isEmpty ? nil : model.removeFirst().element))
      case 6..<9:
        guard let index = model.indices.randomElement(using: &random) else { break }
        list.remove(at: model[index].place)
        list.remove(at: model.remove(at: index).place)
      default:
        let digit = Int.random(in: 0..<10, using: &random)
        let removed = list.removeAll { $0 % 10 == digit }
        #expect(removed == model.map(\.element).filter { $0 % 10 == digit })
        model.removeAll { $0.element % 10 == digit }
      }
      #expect(list.count == model.count)
    }
  }

  /// One that waits for ever at the front keeps nothing of those that came and went behind it.
  @Test func whoLeavesTheListLeavesNothing() {
    var list = WaitingList<Int>()
    let patient = list.append(-1)
    for number in 0..<10_000 {
      list.remove(at: list.append(number))
      #expect(list.capacityUsed <= 64)
    }
    #expect(list.count == 1)
    list.remove(at: patient)
    #expect(list.isEmpty)
    #expect(list.capacityUsed == 0)
  }
}
