import Logging
import Messages
import NIOCore
import RPC
import ServiceKit
import TestSupport
import Testing

@testable import GatewayService

/// Rings, cursors and what may be left out: without sockets.
@Suite struct FeedTests {
  private func event(
    _ number: UInt64, mission: String = "m", type: EventType = .stepProgress, step: Step = .execution, size: Int = 0
  ) throws -> FeedEvent {
    try FeedEvent(
      ProgressEvent(
        missionId: mission, sequence: number, type: type, step: step, message: String(repeating: "x", count: size)),
      number: number)
  }

  private func feed(start: UInt64?, events: Int = 4) -> EventFeed {
    let upstreams = Upstreams(timeout: .seconds(1)) { _ in Client(host: "127.0.0.1", port: 1) }
    let source = FeedSource(key: .mission("m"), upstreams: upstreams)
    return EventFeed(source: source, start: start, limits: .init(events: events, bytes: 1 << 20))
  }

  private func read(_ feed: EventFeed, _ cursor: FeedCursor, limit: Int = 1 << 20) -> String {
    switch feed.read(after: cursor, limit: limit) {
    case .events(let events, let more): "\(events.map(\.number)) and \(more)"
    case .upToDate: "up to date"
    case .missing(let base): "missing, \(base.map { "\($0)" } ?? "unknown")"
    case .ended(let last): "ended at \(last)"
    case .failed: "failed"
    }
  }

  @Test func theRingIsBoundedInNumberAndBytes() throws {
    var ring = FeedRing(.init(events: 3, bytes: 1 << 20))
    for number in 1...5 as ClosedRange<UInt64> {
      let dropped = ring.append(try event(number))
      #expect(dropped == (number > 3 ? number - 3 : nil))
    }
    #expect(ring.events(after: 0, limit: 1 << 20).events.map(\.number) == [3, 4, 5])
    #expect(ring.events(after: 4, limit: 1 << 20).events.map(\.number) == [5])
    #expect(ring.events(after: 5, limit: 1 << 20).events.isEmpty)
    let (first, more) = ring.events(after: 0, limit: 1)
    #expect(first.map(\.number) == [3])
    #expect(more == 2)
    var small = FeedRing(.init(events: 100, bytes: 8000))
    for number in 1...10 as ClosedRange<UInt64> { _ = small.append(try event(number, size: 3000)) }
    #expect(small.events(after: 0, limit: 1 << 20).events.map(\.number) == [9, 10])
    _ = small.append(try event(11, size: 30_000))
    #expect(small.events(after: 0, limit: 1).events.map(\.number) == [11])
  }

  @Test func aCursorFindsItsPlace() async throws {
    let feed = feed(start: 10)
    #expect(read(feed, FeedCursor(number: 10)) == "up to date")
    #expect(read(feed, FeedCursor(number: 9)) == "missing, 10")
    // Whether there is such a number only the service can tell.
    #expect(read(feed, FeedCursor(number: 99)) == "missing, unknown")
    feed.noteConfirmed(99)
    #expect(read(feed, FeedCursor(number: 99)) == "up to date")
    #expect(read(feed, FeedCursor(number: 100)) == "missing, unknown")
    #expect(feed.now == FeedCursor(number: 10))
    for number in 11...16 as ClosedRange<UInt64> { await feed.append(try event(number)) }
    #expect(read(feed, FeedCursor(number: 11)) == "missing, 12")
    #expect(read(feed, FeedCursor(number: 12)) == "[13, 14, 15, 16] and 0")
    #expect(read(feed, FeedCursor(number: 12), limit: 1) == "[13] and 3")
    feed.finish()
    #expect(read(feed, FeedCursor(number: 15)) == "[16] and 0")
    #expect(read(feed, FeedCursor(number: 16)) == "ended at 16")
  }

  @Test func fromNowOnIsWhateverComes() async throws {
    let feed = feed(start: nil)
    #expect(feed.now == .fromNow)
    #expect(read(feed, .fromNow) == "up to date")
    #expect(read(feed, FeedCursor(number: 5)) == "missing, unknown")
    // Another watcher has read everything up to 7 from the service.
    feed.noteComplete(upTo: 7)
    #expect(read(feed, FeedCursor(number: 7)) == "up to date")
    // One that was on its way meanwhile is still news to who watches from now on.
    await feed.append(try event(6))
    await feed.append(try event(9))
    #expect(read(feed, .fromNow) == "[6, 9] and 0")
    #expect(read(feed, FeedCursor(number: 7)) == "[9] and 0")
    #expect(read(feed, FeedCursor(number: 5)) == "missing, 7")
  }

  /// What a watch from now on begins after, where the service says it, is where it resumes.
  @Test func fromNowOnHasAPlace() {
    let feed = feed(start: nil)
    feed.establish(after: 17)
    #expect(feed.resumesAfter == 17)
    #expect(read(feed, .fromNow) == "up to date")
    #expect(read(feed, FeedCursor(number: 16)) == "missing, 17")
    feed.establish(after: 20)
    #expect(feed.resumesAfter == 17, "it has everything since")
  }

  /// A feed that was to begin where there is nothing says nothing of who is elsewhere.
  @Test func aFailureOutOfRangeConcernsWhoIsThere() {
    let failure = UpstreamFailure(service: .progress, status: Status(.outOfRange, "its last one is 5"))
    let feed = feed(start: 99)
    feed.fail(FeedFailure(failure: failure, after: 99))
    for number in [3, 99, 100] as [UInt64] {
      #expect(read(feed, FeedCursor(number: number)) == "failed")
      #expect(FeedFailure(failure: failure, after: 99).concerns(FeedCursor(number: number)) == (number == 99))
    }
    #expect(!FeedFailure(failure: failure, after: 99).concerns(.fromNow))
    #expect(FeedFailure(failure: failure, after: nil).concerns(.fromNow))
  }

  /// Nobody reads: the feed stops at a full ring. Who reads one event lets one more in.
  @Test func theFeedGoesAtItsFastestWatchersPace() async throws {
    let feed = feed(start: 0, events: 2)
    await feed.append(try event(1))
    await feed.append(try event(2))
    let third = try event(3)
    let adding = Task { await feed.append(third) }
    #expect(read(feed, FeedCursor(number: 0), limit: 1) == "[1] and 1")
    await adding.value
    #expect(read(feed, FeedCursor(number: 1)) == "[2, 3] and 0")
    let fourth = try event(4)
    await feed.append(fourth)
    #expect(read(feed, FeedCursor(number: 0)) == "missing, 2")
    // Who is far ahead of the ring does not hold it up either.
    await feed.append(try event(5))
    feed.noteConfirmed(50)
    #expect(read(feed, FeedCursor(number: 50)) == "up to date")
    await feed.append(try event(6))
    #expect(read(feed, FeedCursor(number: 4)) == "[5, 6] and 0")
  }

  @Test func onlyProgressThatANewerOneFollowsIsLeftOut() throws {
    let events = [
      try event(1, type: .stepStarted), try event(2), try event(3), try event(4), try event(5, step: .finalize),
      try event(6, type: .stepCompleted), try event(7), try event(8),
    ]
    #expect(try events.coalesced(after: 0, more: 0).map(\.number) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(try events.coalesced(after: 8, more: 0).map(\.number) == [1, 2, 3, 4, 5, 6, 7, 8])
    let kept = try events.coalesced(after: 1, more: 0)
    #expect(kept.map(\.number) == [1, 4, 5, 6, 8])
    #expect(kept.map { String(buffer: $0.json).contains(#""coalesced":2"#) } == [false, true, false, false, false])
    #expect(String(buffer: kept[4].json).contains(#""coalesced":1"#))
    // Only while so many are left.
    #expect(try events.coalesced(after: 6, more: 0).map(\.number) == [1, 3, 4, 5, 6, 7, 8])
    #expect(try events.coalesced(after: 6, more: 100).map(\.number) == [1, 4, 5, 6, 8])
  }

  @Test func missionsAreCoalescedApart() throws {
    let events = try (1...6).map { try event(UInt64($0), mission: $0 % 2 == 0 ? "a" : "b") }
    let kept = try events.coalesced(after: 1, more: 0)
    #expect(kept.map(\.number) == [5, 6])
    #expect(kept.allSatisfy { String(buffer: $0.json).contains(#""coalesced":2"#) })
  }

  @Test func feedsAreSharedLimitedAndEnd() async throws {
    let upstreams = Upstreams(timeout: .seconds(1)) { _ in Client(host: "127.0.0.1", port: 1) }
    var options = EventFeeds.Options()
    options.maximumFeeds = 2
    options.linger = .milliseconds(1)
    let feeds = EventFeeds(upstreams: upstreams, options: options, logger: Logger(label: "feeds"))
    do {
      let first = try feeds.lease(.mission("a"), start: 0, observer: FeedSignal())
      let second = try feeds.lease(.mission("a"), start: 7, observer: FeedSignal())
      #expect(first.feed === second.feed)
      let filter = EventFilter(owner: "ada")
      let all = try feeds.lease(.all(filter), start: nil, observer: FeedSignal())
      #expect(feeds.count == 2)
      let refused = #expect(throws: GatewayError.self) {
        try feeds.lease(.all(EventFilter()), start: nil, observer: FeedSignal())
      }
      #expect(refused?.code == "RESOURCE_EXHAUSTED")
      withExtendedLifetime((first, second, all)) {}
    }
    try await eventually("the feeds end") { feeds.count == 0 }
    feeds.close()
  }
}
