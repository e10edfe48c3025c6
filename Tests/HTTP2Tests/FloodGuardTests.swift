import HTTP2
import Testing

@Suite struct FloodGuardTests {
  static let second: Int64 = 1_000_000_000

  private func counts(_ change: (inout FrameCounts) -> Void) -> FrameCounts {
    var counts = FrameCounts()
    change(&counts)
    return counts
  }

  @Test func threePingsTooSoon() {
    var flood = FloodGuard()
    let ping = counts { $0.pings = 1 }
    #expect(flood.note(ping, provoked: 0, sent: 0, now: 0) == nil)
    #expect(flood.note(ping, provoked: 0, sent: 0, now: Self.second) == nil)
    #expect(flood.note(ping, provoked: 0, sent: 0, now: 2 * Self.second) == nil)
    #expect(flood.note(ping, provoked: 0, sent: 0, now: 3 * Self.second) == .pings)
  }

  @Test func pingsBetweenDataAreFine() {
    var flood = FloodGuard()
    for turn in 0..<1_000 {
      let now = Int64(turn) * Self.second
      #expect(flood.note(counts { $0.pings = 1 }, provoked: 0, sent: 0, now: now) == nil)
      #expect(flood.note(FrameCounts(), provoked: 0, sent: 1, now: now) == nil)
    }
  }

  @Test func pingsFarApartAreFine() {
    var flood = FloodGuard()
    for turn in 0..<10 {
      #expect(flood.note(counts { $0.pings = 1 }, provoked: 0, sent: 0, now: Int64(turn) * 301 * Self.second) == nil)
    }
  }

  @Test func settingsAreCountedByTheMinute() {
    var flood = FloodGuard()
    let settings = counts { $0.settings = 5 }
    #expect(flood.note(settings, provoked: 0, sent: 0, now: 0) == nil)
    #expect(flood.note(settings, provoked: 0, sent: 0, now: Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, sent: 0, now: 61 * Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, sent: 0, now: 62 * Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, sent: 0, now: 63 * Self.second) == .settings)
  }

  @Test func framesGoWithProgress() {
    var flood = FloodGuard()
    // A receiver of 1,000 DATA frames a second credits stream and connection for each.
    for turn in 0..<100 {
      let now = Int64(turn) * Self.second / 10
      #expect(flood.note(FrameCounts(), provoked: 0, sent: 100, now: now) == nil)
      #expect(flood.note(counts { $0.others = 200 }, provoked: 0, sent: 0, now: now) == nil)
    }
    // As does one who sends as many.
    for turn in 0..<100 {
      let busy = counts { ($0.others, $0.progress) = (300, 100) }
      #expect(flood.note(busy, provoked: 0, sent: 0, now: Int64(turn) * Self.second / 10) == nil)
    }
  }

  @Test func aLittleProgressHidesNoFlood() {
    var flood = FloodGuard()
    let mixed = counts { ($0.others, $0.progress) = (401, 1) }
    var reads = 0
    while reads < 100, flood.note(mixed, provoked: 0, sent: 0, now: 0) == nil { reads += 1 }
    #expect(reads == 25)
  }

  @Test func idleFramesAreCountedByTenSeconds() {
    var flood = FloodGuard()
    let idle = counts { $0.others = 6_000 }
    #expect(flood.note(idle, provoked: 0, sent: 0, now: 0) == nil)
    #expect(flood.note(idle, provoked: 0, sent: 0, now: 10 * Self.second) == nil)
    #expect(flood.note(idle, provoked: 0, sent: 0, now: 19 * Self.second) == .idleFrames)
  }

  @Test func provokedResets() {
    var flood = FloodGuard()
    #expect(flood.note(FrameCounts(), provoked: 100, sent: 0, now: 0) == nil)
    #expect(flood.note(FrameCounts(), provoked: 100, sent: 0, now: 11 * Self.second) == nil)
    #expect(flood.note(FrameCounts(), provoked: 1, sent: 0, now: 12 * Self.second) == .provokedResets)
  }

  @Test func resetsLeakAway() {
    var flood = FloodGuard()
    let start = 1_000 * Self.second
    #expect(flood.note(counts { $0.resets = 200 }, provoked: 0, sent: 0, now: start) == nil)
    // 20 a second are made good for.
    for turn in 1...100 {
      let now = start + Int64(turn) * Self.second
      #expect(flood.note(counts { $0.resets = 20 }, provoked: 0, sent: 0, now: now) == nil)
    }
    #expect(flood.note(counts { $0.resets = 1 }, provoked: 0, sent: 0, now: start + 100 * Self.second) == .resets)
  }

  @Test func fromAServerResetsAndPingsAreFrames() {
    var limits = FloodGuard.Limits()
    (limits.resets, limits.pingStrikes) = (nil, nil)
    var flood = FloodGuard(limits: limits)
    let both = counts { ($0.resets, $0.pings) = (2_500, 2_500) }
    #expect(flood.note(both, provoked: 0, sent: 0, now: 0) == nil)
    #expect(flood.note(both, provoked: 0, sent: 0, now: 0) == nil)
    #expect(flood.note(both, provoked: 0, sent: 0, now: 0) == .idleFrames)
  }
}
