import Hummingbird
import Logging
import RPC
import Synchronization

/// The feeds that somebody watches, one of each thing.
final class EventFeeds: Sendable {
  struct Options: Sendable {
    var ring = FeedRing.Limits()
    /// How long a feed goes on after its last watcher left: who reconnects finds its events at hand.
    var linger: Duration = .seconds(5)
    /// How many feeds there are at once; each is a watch at the progress service.
    var maximumFeeds = 4096
  }

  private struct Member {
    let feed: EventFeed
    let task: Task<Void, Never>
    var watchers = 0
    /// Rises whenever a watcher comes, so that the end of a linger knows whether it still counts.
    var visits = 0
  }

  private let upstreams: Upstreams
  private let options: Options
  private let logger: Logger
  private let members = Mutex<[FeedKey: Member]>([:])

  init(upstreams: Upstreams, options: Options, logger: Logger) {
    self.upstreams = upstreams
    self.options = options
    self.logger = logger
  }

  /// How many feeds there are at this moment.
  var count: Int { members.withLock { $0.count } }

  /// There is a feed of `key` that has seen an event.
  func hasEvents(of key: FeedKey) -> Bool { members.withLock { $0[key]?.feed.hasEvents ?? false } }

  /// A watcher's hold of a feed, and its being told of changes, until it is dropped.
  final class Lease: Sendable {
    let feed: EventFeed
    private let feeds: EventFeeds
    private let observer: ObjectIdentifier

    fileprivate init(_ feed: EventFeed, _ feeds: EventFeeds, _ observer: any FeedObserver) {
      self.feed = feed
      self.feeds = feeds
      self.observer = ObjectIdentifier(observer)
      feed.add(observer)
    }

    deinit {
      feed.remove(observer)
      feeds.release(feed)
    }
  }

  /// The feed of `key`, which begins after `start` if there is none yet: nil for what is stored from now on.
  /// - Throws: `GatewayError` 429 where there are too many.
  func lease(_ key: FeedKey, start: UInt64?, observer: some FeedObserver) throws -> Lease {
    try members.withLock { members in
      if var member = members[key], !member.feed.hasFailed {
        member.watchers += 1
        member.visits += 1
        members[key] = member
        return Lease(member.feed, self, observer)
      }
      guard members.count < options.maximumFeeds else { throw Self.tooMany }
      let source = FeedSource(key: key, upstreams: upstreams)
      let feed = EventFeed(source: source, start: start, limits: options.ring)
      let task = FeedTask(feed: feed, logger: logger)
      members[key] = Member(feed: feed, task: Task { await task.run() }, watchers: 1)
      return Lease(feed, self, observer)
    }
  }

  private static let tooMany = GatewayError(
    status: .tooManyRequests, code: Status.Code.resourceExhausted.name,
    message: "Too many different things are watched; try again later.", headers: [.retryAfter: "1"])

  /// Ends every feed.
  func close() {
    let all = members.withLock { members in
      defer { members = [:] }
      return Array(members.values)
    }
    for member in all { member.task.cancel() }
  }

  private func release(_ feed: EventFeed) {
    let visits = members.withLock { members -> Int? in
      guard var member = members[feed.key], member.feed === feed else { return nil }
      member.watchers -= 1
      members[feed.key] = member
      return member.watchers == 0 ? member.visits : nil
    }
    guard let visits else { return }
    Task { [options] in
      try? await Task.sleep(for: options.linger)
      end(feed, after: visits)
    }
  }

  private func end(_ feed: EventFeed, after visits: Int) {
    let task = members.withLock { members -> Task<Void, Never>? in
      guard let member = members[feed.key], member.feed === feed, member.watchers == 0, member.visits == visits
      else { return nil }
      members[feed.key] = nil
      return member.task
    }
    task?.cancel()
  }
}
