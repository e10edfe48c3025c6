import Messages
import RPC
import ServiceKit
import Stubs

/// Where a feed's events come from: the progress service's watch, and its pages for what lies further back.
struct FeedSource: Sendable {
  /// How many events a page has at the most; a watcher that catches up holds no more than one page.
  static let pageEvents: Int32 = 100

  let key: FeedKey
  let upstreams: Upstreams

  /// An entry of the upstream watch.
  struct Entry: Sendable {
    let number: UInt64
    let event: ProgressEvent
  }

  /// An open watch, and its place on a connection.
  struct Watch {
    private let lease: StreamClients.Lease
    /// Waits until the service has taken the watch up. Returns the position that it begins after; nil for a mission's.
    let established: () async throws -> UInt64?
    let next: () async throws -> Entry?

    fileprivate init<Message>(
      _ lease: StreamClients.Lease, _ stream: ResponseStream<Message>, _ entry: @escaping (Message) -> Entry
    ) {
      self.lease = lease
      established = { try await stream.initialMetadata[ProgressClient.positionKey].flatMap { UInt64($0) } }
      var responses = stream.makeAsyncIterator()
      next = { try await responses.next().map(entry) }
    }
  }

  /// - Parameter number: What to resume after; nil for what is stored from now on.
  /// - Throws: `Status`.
  func watch(after number: UInt64?) async throws -> Watch {
    let lease = upstreams.progressStreams.lease()
    let progress = ProgressClient(lease.client)
    switch key {
    case .mission(let id):
      let wanted = WatchEventsRequest(missionId: id, afterSequence: number ?? 0)
      return Watch(lease, try await progress.watch(wanted)) { Entry(number: $0.sequence, event: $0) }
    case .all(let filter):
      let start = number.map { WatchAllEventsRequest.Start.afterPosition($0) } ?? .fromNow(true)
      let wanted = WatchAllEventsRequest(filter: filter, start: start)
      return Watch(lease, try await progress.watchAll(wanted)) {
        Entry(number: $0.position, event: $0.event ?? ProgressEvent())
      }
    }
  }

  /// One page of what is stored.
  struct Page: Sendable {
    let events: [FeedEvent]
    /// Where to go on.
    let position: UInt64
    /// There is nothing after what was asked for. A page that brought few events says nothing of the sort: the service
    /// answers early where it would have to look at too many, or they are too large.
    let isEnd: Bool
    /// The mission has ended with these events.
    let isComplete: Bool
  }

  /// What is stored after `number`.
  /// - Parameter wait: How long to wait for the first event if there is none.
  /// - Throws: `UpstreamFailure`.
  func page(after number: UInt64, wait: Duration = .zero) async throws -> Page {
    let lease = upstreams.progressStreams.lease()
    let progress = ProgressClient(lease.client)
    let patience = wait == .zero ? nil : GoogleProtobufDuration(wait)
    switch key {
    case .mission(let id):
      let wanted = ListEventsRequest(missionId: id, afterSequence: number, wait: patience, limit: Self.pageEvents)
      let answer = try await upstreams.call(.progress, extra: wait) { try await progress.list(wanted, $0) }
      let events = try answer.events.filter { $0.sequence > number }.map { try FeedEvent($0, number: $0.sequence) }
      return Page(
        events: events, position: events.last?.number ?? number, isEnd: events.isEmpty, isComplete: answer.complete)
    case .all(let filter):
      let wanted = ListAllEventsRequest(
        filter: filter, afterPosition: number, wait: patience, limit: Self.pageEvents)
      let answer = try await upstreams.call(.progress, extra: wait) { try await progress.listAll(wanted, $0) }
      let events = try answer.events.filter { $0.position > number }
        .map { try FeedEvent($0.event ?? ProgressEvent(), number: $0.position) }
      let position = max(number, answer.position, events.last?.number ?? 0)
      return Page(events: events, position: position, isEnd: events.isEmpty && position == number, isComplete: false)
    }
  }

  /// Where some of all missions' events after `cursor` are not kept any more: the position of the last such event. Nil
  /// where nothing is missing that a watcher from there on asks for, or where the service refuses: then so does the
  /// feed. Keeps asking while the service is away.
  /// - Throws: `CancellationError`.
  func prunedThrough(after cursor: FeedCursor) async throws -> UInt64? {
    guard key.isOfAll, !cursor.isFromNow, cursor.number > 0 else { return nil }
    let wanted = ListAllEventsRequest(afterPosition: cursor.number, limit: 1)
    var backoff = Backoff()
    while true {
      do {
        let answer = try await upstreams.call(.progress) { try await upstreams.progress.listAll(wanted, $0) }
        return answer.prunedPosition > cursor.number ? answer.prunedPosition : nil
      } catch let failure as UpstreamFailure {
        try Task.checkCancellation()
        guard failure.status.isWorthRetrying else { return nil }
        try await backoff.pause()
      }
    }
  }

  /// True if the mission has ended and nothing comes after `number`.
  func isComplete(after number: UInt64) async throws -> Bool {
    guard case .mission(let id) = key else { return false }
    let wanted = ListEventsRequest(missionId: id, afterSequence: number, limit: 1)
    let answer = try await upstreams.call(.progress) { try await upstreams.progress.list(wanted, $0) }
    return answer.complete && answer.events.isEmpty
  }

  /// Where a watcher that asked for events which are not kept any more can go on.
  func whereToGoOn() async -> UInt64? {
    switch key {
    case .mission(let id):
      let wanted = SnapshotRequest(missionId: id)
      return try? await upstreams.call(.progress) { try await upstreams.progress.snapshot(wanted, $0) }.lastSequence
    case .all:
      return nil
    }
  }
}

extension Status {
  /// False if the same request would fail again for what it says, not for when it was made. A mission that progress
  /// does not know yet may be known in a moment.
  var isWorthRetrying: Bool {
    switch code {
    case .unavailable, .notFound, .cancelled, .deadlineExceeded, .aborted, .unknown, .internalError, .resourceExhausted,
      .dataLoss: !Task.isCancelled
    default: false
    }
  }
}
