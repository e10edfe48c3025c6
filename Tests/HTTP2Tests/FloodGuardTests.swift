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
    #expect(flood.note(ping, provoked: 0, now: 0) == nil)
    #expect(flood.note(ping, provoked: 0, now: Self.second) == nil)
    #expect(flood.note(ping, provoked: 0, now: 2 * Self.second) == nil)
    #expect(flood.note(ping, provoked: 0, now: 3 * Self.second) == .pings)
  }

  @Test func pingsBetweenDataAreFine() {
    var flood = FloodGuard()
    for turn in 0..<1_000 {
      #expect(flood.note(counts { $0.pings = 1 }, provoked: 0, now: Int64(turn) * Self.second) == nil)
      flood.noteSent()
    }
  }

  @Test func pingsFarApartAreFine() {
    var flood = FloodGuard()
    for turn in 0..<10 {
      #expect(flood.note(counts { $0.pings = 1 }, provoked: 0, now: Int64(turn) * 301 * Self.second) == nil)
    }
  }

  @Test func settingsAreCountedByTheMinute() {
    var flood = FloodGuard()
    let settings = counts { $0.settings = 5 }
    #expect(flood.note(settings, provoked: 0, now: 0) == nil)
    #expect(flood.note(settings, provoked: 0, now: Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, now: 61 * Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, now: 62 * Self.second) == nil)
    #expect(flood.note(settings, provoked: 0, now: 63 * Self.second) == .settings)
  }

  @Test func idleFramesStartOverWithProgress() {
    var flood = FloodGuard()
    let idle = counts { $0.idle = 6_000 }
    #expect(flood.note(idle, provoked: 0, now: 0) == nil)
    #expect(flood.note(counts { $0.progress = 1 }, provoked: 0, now: 1) == nil)
    #expect(flood.note(idle, provoked: 0, now: 2) == nil)
    flood.noteSent()
    #expect(flood.note(idle, provoked: 0, now: 3) == nil)
    #expect(flood.note(idle, provoked: 0, now: 4) == .idleFrames)
  }

  @Test func provokedResets() {
    var flood = FloodGuard()
    #expect(flood.note(FrameCounts(), provoked: 100, now: 0) == nil)
    #expect(flood.note(FrameCounts(), provoked: 100, now: 11 * Self.second) == nil)
    #expect(flood.note(FrameCounts(), provoked: 1, now: 12 * Self.second) == .provokedResets)
  }
}
