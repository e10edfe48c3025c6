import RPC

/// What a watcher reads of a feed's past, page by page, until the ring has what comes next.
struct FeedPages: Sendable {
  /// How long a page that has nothing yet waits for the first event.
  private static let patience: Duration = .seconds(10)

  /// True once a page brought nothing: the next one may wait. It does not while there is something left to look at.
  private var hasSeenAll = false

  /// The next page after `number`. Keeps asking while the service is away.
  /// - Throws: `UpstreamFailure` where asking again cannot help; `CancellationError`.
  mutating func next(of feed: EventFeed, after number: UInt64) async throws -> FeedSource.Page {
    var backoff = Backoff()
    while true {
      // Events come to the feed while a page is made: they are in its ring only if it watched before.
      let isCovered = feed.isEstablished
      do {
        let wait = hasSeenAll ? Self.patience : .zero
        let page = try await feed.source.page(after: number, wait: wait)
        hasSeenAll = page.events.isEmpty
        feed.noteConfirmed(page.position)
        if page.isEnd, isCovered { feed.noteComplete(upTo: page.position) }
        return page
      } catch let failure as UpstreamFailure where failure.status.isWorthRetrying {
        try await backoff.pause()
      } catch {
        try Task.checkCancellation()
        throw error
      }
    }
  }
}

extension FeedFailure {
  /// Whether it is of a watcher at `cursor` too. A watch that began too far back, or beyond the last event, says
  /// nothing of who is elsewhere.
  func concerns(_ cursor: FeedCursor) -> Bool {
    failure.status.code != .outOfRange || (cursor.isFromNow ? nil : cursor.number) == after
  }
}

extension FeedSource {
  /// What a watcher is told of a failure; with the place to go on where what it asked for is not kept any more.
  func error(for failure: UpstreamFailure) async -> GatewayError {
    var error = GatewayError(failure.status, from: failure.service)
    if failure.status.code == .outOfRange { error.resumeAfter = await whereToGoOn() }
    return error
  }
}
