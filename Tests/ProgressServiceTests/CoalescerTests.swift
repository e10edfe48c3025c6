import Messages
import TestSupport
import Testing

@testable import ProgressService

@Suite struct CoalescerTests {
  private func stored(_ events: [ProgressEvent]) -> [StoredEvent] {
    events.enumerated().map {
      StoredEvent(position: UInt64($0) + 1, event: $1, bytes: [], facts: SharedFacts(MissionFacts()))
    }
  }

  private func entries(_ coalescer: inout Coalescer, _ events: [StoredEvent], behind last: UInt64) -> [String] {
    coalescer.thin(events) { last - $0.position + 1 }
      .map { "\($0.event.event.missionId)\($0.event.sequence)+\($0.leftOut)" }
  }

  @Test func nothingIsLeftOutUnasked() {
    var coalescer = Coalescer(after: 0)
    #expect(entries(&coalescer, stored(Events.progress(1...3)), behind: 1_000) == ["m1+0", "m2+0", "m3+0"])
  }

  @Test func theNewestOfAStepStandsForThoseDirectlyBefore() {
    var coalescer = Coalescer(after: 1)
    var events = Events.progress(1...3) + [Events.state(.running, 4)] + Events.progress(5...6, step: .finalize)
    events += Events.progress(7...8, step: .execution)
    #expect(
      entries(&coalescer, stored(events), behind: 100) == ["m3+2", "m4+0", "m6+1", "m8+1"],
      "a change of state and another step stand between")
  }

  @Test func whoIsNearEnoughGetsAll() {
    var coalescer = Coalescer(after: 3)
    #expect(entries(&coalescer, stored(Events.progress(1...6)), behind: 6) == ["m4+3", "m5+0", "m6+0"])
  }

  @Test func missionsDoNotMix() {
    var coalescer = Coalescer(after: 1)
    let (m, n) = (Events.progress(1...3), Events.progress(1...3, of: "n"))
    let events = stored([m[0], n[0], m[1], n[1], m[2], n[2]])
    #expect(entries(&coalescer, events, behind: 100) == ["m3+2", "n3+2"])
  }

  @Test func whatAFilterHasTakenOutStandsBetween() {
    var coalescer = Coalescer(after: 1)
    let events = stored(Events.progress(1...1) + Events.progress(3...3))
    #expect(entries(&coalescer, events, behind: 100) == ["m1+0", "m3+0"])
  }

  /// In random pieces, with the last of each held back as long as more follows: as if it had come in one.
  @Test func piecesMakeNoDifference() {
    var random = SeededRandom()
    for _ in 0..<200 {
      let events = stored(
        (1...40).map { sequence in
          Bool.random(using: &random) || Bool.random(using: &random)
            ? Events.progress(sequence...sequence, step: Bool.random(using: &random) ? .execution : .finalize)[0]
            : Events.state(.running, sequence)
        })
      var whole = Coalescer(after: 4)
      let expected = entries(&whole, events, behind: 40)
      var pieces = Coalescer(after: 4)
      var (position, seen) = (0, [String]())
      while position < events.count {
        let piece = Array(events[position...].prefix(Int.random(in: 2...9, using: &random)))
        let isLast = position + piece.count == events.count
        seen += pieces.thin(piece, holdsBack: !isLast) { 40 - $0.position + 1 }
          .map { "m\($0.event.sequence)+\($0.leftOut)" }
        position += piece.count - (isLast ? 0 : 1)
      }
      #expect(seen == expected)
    }
  }
}

@Suite struct EventSelectionTests {
  private func event(_ facts: MissionFacts, _ state: MissionState = .running) throws -> StoredEvent {
    StoredEvent(
      position: 1, event: Events.state(state, 1), bytes: [], facts: SharedFacts(stored: try facts.bytes()))
  }

  @Test func whatIsEmptyLetsAllThrough() throws {
    #expect(EventSelection(nil).passes(try event(MissionFacts())))
    #expect(EventSelection(EventFilter()).passes(try event(MissionFacts(owner: "ann"))))
  }

  @Test func everyPartHasToFit() throws {
    let facts = MissionFacts(owner: "ann", labels: ["team": "a", "site": "x"], recipe: "weekly")
    let passing = [
      EventFilter(owner: "ann"), EventFilter(labels: ["team": "a"]), EventFilter(labels: ["team": "a", "site": "x"]),
      EventFilter(states: [.paused, .running]), EventFilter(recipe: "weekly"),
    ]
    for filter in passing { #expect(EventSelection(filter).passes(try event(facts)), "\(filter)") }
    let refused = [
      EventFilter(owner: "bob"), EventFilter(labels: ["team": "b"]), EventFilter(labels: ["team": "a", "no": ""]),
      EventFilter(states: [.paused]), EventFilter(recipe: "daily"), EventFilter(owner: "ann", recipe: "daily"),
    ]
    for filter in refused { #expect(!EventSelection(filter).passes(try event(facts)), "\(filter)") }
  }
}
