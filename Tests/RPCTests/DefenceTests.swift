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
    #expect(value(budget.changed(1, by: 50, partial: 50)) == [])
    #expect(value(budget.admits(1, 50, partial: 50)))
    #expect(value(budget.changed(3, by: 60, partial: 60)) == [])
    #expect(value(budget.admits(3, 60, partial: 60)))  // the first beyond the limit is the one that goes on
    #expect(!value(budget.admits(5, 10, partial: 10)))
    #expect(!value(budget.admits(1, 50, partial: 50)))
    #expect(value(budget.admits(3, 10, partial: 60)))
    // Its message is complete, but 110 bytes are still held: the next in order may go on.
    #expect(value(budget.changed(5, by: 60, partial: 60)) == [])
    #expect(value(budget.changed(3, by: -60, partial: 0)) == [.init(stream: 1, bytes: 50)])
    // One that is closed frees what it held, and there is room for all.
    #expect(value(budget.closed(1, partial: 50)) == [.init(stream: 5, bytes: 10)])
    #expect(value(budget.closed(7, partial: 0)) == [])
    #expect(value(budget.admits(5, 10, partial: 60)))
    #expect(budget.held == 60)
  }

  /// Only a stream that holds something takes the turn of others, and only until it is closed.
  @Test func aStreamWithoutAnIncompleteMessageIsNotInTheWay() {
    var budget = RequestBudget(limit: 100)
    #expect(value(budget.changed(1, by: 150, partial: 150)) == [])
    #expect(value(budget.admits(3, 10, partial: 0)))
    #expect(value(budget.admits(5, 10, partial: 10)))
    #expect(!value(budget.admits(7, 10, partial: 10)))
    #expect(value(budget.admits(3, 10, partial: 0)))
    // What was withheld from a stream is given back when its message is complete.
    #expect(value(budget.changed(7, by: 10, partial: 10)) == [])
    #expect(value(budget.changed(7, by: -10, partial: 0)) == [.init(stream: 7, bytes: 10)])
    // The favoured one is closed while nothing is withheld.
    #expect(value(budget.closed(5, partial: 0)) == [])
    #expect(value(budget.admits(9, 10, partial: 10)))
  }

  @Test func whoReadsTooSlowlyIsFoundOut() {
    var options = ServerOptions()
    options.writeStallTimeout = .seconds(30)
    options.minimumReadRate = 1_000
    let second: Int64 = 1_000_000_000
    func complaint(pending: Int = 0, held: Int = 0, bytesPerSecond: Int) -> ConnectionHealth.Complaint? {
      var health = ConnectionHealth(options: options, now: 0)
      health.hasSettings = true
      for now in Int64(0)..<40 {
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
    #expect(complaint(held: options.maximumBufferedBytes, bytesPerSecond: 0) == nil)
    #expect(complaint(held: options.maximumBufferedBytes + 1, bytesPerSecond: 0) == .stalledWrite)
  }
}
