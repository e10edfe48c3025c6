import Testing

@testable import RPC

/// What decides on connections and requests that hold too much, without sockets. Over sockets: Tests/interop/hostile.
@Suite struct DefenceTests {
  /// `#expect` cannot call what changes its subject.
  private func value<Value>(_ value: Value) -> Value { value }

  @Test func peersAreToldApartByAddress() {
    #expect(PeerKey(ipAddress: "10.0.0.1") == PeerKey(ipAddress: "10.0.0.1"))
    #expect(PeerKey(ipAddress: "10.0.0.1") != PeerKey(ipAddress: "10.0.0.2"))
    #expect(PeerKey(ipAddress: "::ffff:10.0.0.1") == PeerKey(ipAddress: "10.0.0.1"))
    #expect(PeerKey(ipAddress: "2001:db8:1:2::1") == PeerKey(ipAddress: "2001:db8:1:2:3:4:5:6"))
    #expect(PeerKey(ipAddress: "2001:db8::1:2:3:4") == PeerKey(ipAddress: "2001:db8::"))
    #expect(PeerKey(ipAddress: "2001:db8:1:2::1") != PeerKey(ipAddress: "2001:db8:1:3::1"))
    #expect(PeerKey(ipAddress: "::1") != PeerKey(ipAddress: "1::1"))
    #expect(PeerKey(ipAddress: nil) == nil)
  }

  @Test func aPeerThatLeavesMakesRoom() {
    var counts = PeerCounts()
    let (one, other) = (PeerKey(ipAddress: "10.0.0.1"), PeerKey(ipAddress: "10.0.0.2"))
    for _ in 0..<2 { #expect(value(counts.add(one, limit: 2))) }
    #expect(!value(counts.add(one, limit: 2)))
    #expect(value(counts.add(other, limit: 2)))
    #expect(value(counts.add(nil, limit: 0)))
    counts.remove(one)
    #expect(value(counts.add(one, limit: 2)))
  }

  @Test func aFloodOfLogLinesIsCounted() {
    let limiter = LogLimiter(linesPerSecond: 2)
    for number in 0..<5 { #expect(limiter.admit(now: 0) == (number < 2, 0)) }
    #expect(limiter.admit(now: 1_000_000_000) == (true, 3))
    #expect(limiter.admit(now: 1_000_000_000) == (true, 0))
  }

  @Test func overTheBudgetOneRequestGoesOnAtATime() {
    var budget = RequestBudget(limit: 100)
    #expect(value(budget.changed(1, by: 50, own: 50)) == [])
    #expect(value(budget.admits(1, 50, own: 50, taker: .unary)))
    #expect(value(budget.changed(3, by: 60, own: 60)) == [])
    #expect(value(budget.admits(3, 60, own: 60, taker: .unary)))  // the first beyond the limit is the one that goes on
    #expect(!value(budget.admits(5, 10, own: 10, taker: .unary)))
    #expect(!value(budget.admits(1, 50, own: 50, taker: .unary)))
    #expect(value(budget.admits(3, 10, own: 60, taker: .unary)))
    // Its message is whole: that makes no room, until a handler takes it.
    #expect(value(budget.changed(3, by: 5, own: 65)) == [])
    #expect(!value(budget.admits(1, 5, own: 50, taker: .unary)))
    #expect(value(budget.changed(5, by: 60, own: 60)) == [])
    #expect(value(budget.changed(3, by: -65, own: 0)) == [.init(stream: 1, bytes: 55)])
    // What a stream drops when it is closed leaves room for all.
    #expect(value(budget.changed(1, by: -50, own: 0)) == [.init(stream: 5, bytes: 10)])
    #expect(value(budget.closed(1)) == [])
    #expect(value(budget.admits(5, 10, own: 60, taker: .unary)))
    #expect(budget.held == 60)
  }

  /// Only a stream that holds something takes the turn of others, and only until it is closed.
  @Test func aStreamThatHoldsNothingIsNotInTheWay() {
    var budget = RequestBudget(limit: 100)
    #expect(value(budget.changed(1, by: 150, own: 150)) == [])
    #expect(value(budget.admits(3, 10, own: 0, taker: .reader)))
    #expect(value(budget.admits(5, 10, own: 10, taker: .reader)))
    #expect(!value(budget.admits(7, 10, own: 10, taker: .reader)))
    #expect(value(budget.admits(3, 10, own: 0, taker: .reader)))
    // What was withheld from a stream is given back when its message is taken.
    #expect(value(budget.changed(7, by: 10, own: 10)) == [])
    #expect(value(budget.changed(7, by: -10, own: 0)) == [.init(stream: 7, bytes: 10)])
    // The favoured one is closed while nothing is withheld.
    #expect(value(budget.closed(5)) == [])
    #expect(value(budget.admits(9, 10, own: 10, taker: .reader)))
  }

  /// A stream that nobody reads is not favoured; one that is read goes on although a whole request waits for its
  /// handler.
  @Test func windowGoesWhereSomebodyReads() {
    var budget = RequestBudget(limit: 100)
    #expect(value(budget.changed(1, by: 150, own: 150)) == [])
    #expect(value(budget.admits(1, 10, own: 150, taker: .unary)))
    #expect(!value(budget.admits(3, 20, own: 10, taker: .nobody)))
    #expect(!value(budget.admits(5, 30, own: 10, taker: .nobody)))
    #expect(budget.takerWaiting(3) == .nobody)
    #expect(value(budget.wants(5)) == [.init(stream: 5, bytes: 30)])
    #expect(budget.takerWaiting(5) == nil)
    #expect(value(budget.wants(3)) == [])
    #expect(budget.takerWaiting(3) == .reader)
    #expect(value(budget.closed(5)) == [.init(stream: 3, bytes: 20)])
    #expect(!value(budget.hasMoved()))
    #expect(value(budget.changed(1, by: -50, own: 100)) == [])
    #expect(value(budget.hasMoved()))
    #expect(!value(budget.hasMoved()))
  }

  @Test func whoReadsTooSlowlyIsFoundOut() {
    var options = ServerOptions()
    options.writeStallTimeout = .seconds(30)
    options.minimumReadRate = 1_000
    let second: Int64 = 1_000_000_000
    func complaint(
      pending: Int = 0, held: Int = 0, seconds: Int64 = 40, bytesPerSecond: Int
    ) -> ConnectionHealth.Complaint? {
      var health = ConnectionHealth(options: options, now: 0)
      health.hasSettings = true
      for now in 0..<seconds {
        let vitals = ConnectionHealth.Vitals(
          isAcknowledged: true, pending: pending, held: held, taken: bytesPerSecond * Int(now))
        if let complaint = health.check(vitals, now: now * second) { return complaint }
      }
      return nil
    }
    #expect(complaint(pending: 1, bytesPerSecond: 0) == .stalledWrite)
    #expect(complaint(pending: 1, bytesPerSecond: 999) == .stalledWrite)
    #expect(complaint(pending: 1, bytesPerSecond: 1_000) == nil)
    #expect(complaint(pending: 0, bytesPerSecond: 0) == nil)
    let most = options.maximumBufferedBytes
    #expect(complaint(held: most, bytesPerSecond: 0) == nil)
    #expect(complaint(held: most + 1, bytesPerSecond: 0) == .stalledWrite)
    // A tenth of what is held within the timeout, …
    #expect(complaint(held: most + 1, bytesPerSecond: 2_000) == .stalledWrite)
    #expect(complaint(held: most + 1, bytesPerSecond: 30_000) == nil)
    // … or all of it within ten times that.
    #expect(complaint(held: most, seconds: 310, bytesPerSecond: 2_000) == .stalledWrite)
    #expect(complaint(held: most, seconds: 310, bytesPerSecond: 30_000) == nil)
    #expect(complaint(held: 1 << 20, seconds: 310, bytesPerSecond: 3_000) == .stalledWrite)
    #expect(complaint(held: 1 << 20, seconds: 310, bytesPerSecond: 4_000) == nil)
    #expect(complaint(held: 1, seconds: 310, bytesPerSecond: 0) == .stalledWrite)
    #expect(complaint(held: 0, seconds: 310, bytesPerSecond: 0) == nil)
  }
}
