import Messages
import TestSupport
import Testing

@testable import ProgressService

@Suite struct RecentEventsTests {
  /// The log of all missions as the database has it.
  private struct Log {
    var events: [StoredEvent] = []
    private var sequences: [String: UInt64] = [:]

    mutating func add(to mission: String, bytes: Int = 10) -> StoredEvent {
      sequences[mission, default: 0] += 1
      let event = StoredEvent(
        position: UInt64(events.count) + 1,
        event: ProgressEvent(missionId: mission, sequence: sequences[mission] ?? 0),
        bytes: Array(repeating: 0, count: bytes), facts: SharedFacts(MissionFacts()))
      events.append(event)
      return event
    }
  }

  private func expectTruth(_ recent: RecentEvents, _ log: Log, _ random: inout SeededRandom) {
    let after = UInt64.random(in: 0...UInt64(log.events.count), using: &random)
    let limit = Int.random(in: 1...8, using: &random)
    if let found = recent.events(after: after, limit: limit) {
      let known = log.events.filter { $0.position > after && $0.position <= recent.newest ?? 0 }
      #expect(found.map(\.position) == known.prefix(limit).map(\.position))
    }
    let mission = "m\(Int.random(in: 0..<4, using: &random))"
    let sequence = UInt64.random(in: 0...20, using: &random)
    if let (events, newest) = recent.events(of: mission, after: sequence, limit: limit) {
      let known = log.events.filter { $0.event.missionId == mission && $0.position <= recent.newest ?? 0 }
      #expect(newest == known.last?.event)
      #expect(events.map(\.sequence) == known.map(\.sequence).filter { $0 > sequence }.prefix(limit).map(\.self))
    }
  }

  /// Commits of this process and of others in any order, read late or in pieces: what it gives is the truth or nothing.
  @Test func itNeverHasAHole() {
    var random = SeededRandom()
    for _ in 0..<200 {
      var log = Log()
      let limits = RecentEvents.Limits(count: Int.random(in: 1...40, using: &random), bytes: 300)
      let recent = RecentEvents(limits: limits)
      let isAlone = Bool.random(using: &random)
      for _ in 0..<60 {
        switch Int.random(in: 0..<4, using: &random) {
        case 0 where !isAlone: _ = log.add(to: "m\(Int.random(in: 0..<4, using: &random))")
        case 1 where !isAlone:
          let after = recent.newest ?? 0
          recent.take(read: Array(log.events.dropFirst(Int(after)).prefix(5)), after: after)
        case 2 where !isAlone && Int.random(in: 0..<10, using: &random) == 0:
          recent.restart(at: UInt64(log.events.count))
        default:
          let events = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            log.add(to: "m\(Int.random(in: 0..<4, using: &random))", bytes: Int.random(in: 1...100, using: &random))
          }
          let isTaken = recent.take(committed: events, isAlone: isAlone)
          if isAlone { #expect(isTaken) }
        }
        for _ in 0..<3 { expectTruth(recent, log, &random) }
      }
    }
  }

  @Test func whatIsTooMuchGoesOldestFirst() {
    var log = Log()
    let recent = RecentEvents(limits: RecentEvents.Limits(count: 3, bytes: 1_000))
    for _ in 0..<5 { _ = recent.take(committed: [log.add(to: "m0")], isAlone: true) }
    #expect(recent.events(after: 1, limit: 10) == nil)
    #expect(recent.events(after: 2, limit: 10)?.map(\.position) == [3, 4, 5])
    #expect(recent.events(of: "m0", after: 1, limit: 10) == nil)
    _ = recent.take(committed: [log.add(to: "m1", bytes: 990)], isAlone: true)
    #expect(recent.events(after: 4, limit: 10)?.map(\.position) == [5, 6], "1,000 bytes are not too many")
    _ = recent.take(committed: [log.add(to: "m1", bytes: 5_000)], isAlone: true)
    #expect(recent.events(after: 6, limit: 10)?.map(\.position) == [7], "the newest stays, whatever its size")
    #expect(recent.events(of: "m0", after: 0, limit: 10) == nil)
  }
}

extension RecentEventsTests {
  /// Of what was pruned before it was read, nothing is passed off as not missing.
  @Test func aMissionsHoleIsNoneOfTheMissionsEvents() {
    var log = Log()
    let recent = RecentEvents(limits: RecentEvents.Limits(count: 5))
    for _ in 0..<8 { _ = log.add(to: "m0") }
    recent.restart(at: 0)
    recent.take(read: Array(log.events[..<2]), after: 0)
    recent.take(read: Array(log.events[5...]), after: 2)
    #expect(recent.events(of: "m0", after: 2, limit: 9) == nil)
    #expect(recent.events(of: "m0", after: 5, limit: 9)?.events.map(\.sequence) == [6, 7, 8])
    for _ in 0..<6 { _ = recent.take(committed: [log.add(to: "m0")], isAlone: true) }
    #expect(recent.events(of: "m0", after: 9, limit: 9)?.events.map(\.sequence) == Array(10...14))
  }
}

@Suite struct ReplayTests {
  @Test func whoKeepsUpIsNeverSkipped() {
    var replay = Replay(from: 100, to: 100, maximumLag: 10)
    for position in UInt64(100)..<200 {
      let skips = replay.mustSkip(at: position, newest: position + 10)
      #expect(!skips)
    }
  }

  @Test func whoFallsBehindIsSkipped() {
    var replay = Replay(from: 0, to: 0, maximumLag: 10)
    let skips = replay.mustSkip(at: 5, newest: 16)
    #expect(skips)
  }

  @Test func aReplayThatArrivesIsNotSkipped() {
    var replay = Replay(from: 0, to: 1_000, maximumLag: 10)
    // It reads four while one comes.
    var newest: UInt64 = 1_000
    for position in stride(from: UInt64(0), to: 1_300, by: 4) {
      let skips = replay.mustSkip(at: position, newest: newest)
      #expect(!skips)
      newest += 1
    }
  }

  @Test func aReplayThatDoesNotArriveIsSkipped() {
    var replay = Replay(from: 0, to: 1_000, maximumLag: 10)
    var newest: UInt64 = 1_000
    var skipped: UInt64?
    for position in stride(from: UInt64(0), to: 10_000, by: 4) where skipped == nil {
      if replay.mustSkip(at: position, newest: newest) { skipped = position }
      newest += 4
    }
    #expect(skipped == 1_000, "what was stored before it came is given whole")
  }
}
