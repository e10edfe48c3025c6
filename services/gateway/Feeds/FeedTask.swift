import Logging
import Messages
import RPC
import ServiceKit

/// Keeps a feed supplied: watches at the progress service, and goes on after the last event where the watch breaks, the
/// service restarts, or an event is left out.
struct FeedTask: Sendable {
  let feed: EventFeed
  let logger: Logger

  private enum Outcome {
    /// The mission has ended.
    case ended
    /// The watch has to be made anew.
    case broken
  }

  /// Runs until the mission has ended, asking again cannot help, or the task is cancelled.
  func run() async {
    var backoff = Backoff()
    while !Task.isCancelled {
      let after = feed.resumesAfter
      do {
        if try await follow(after: after, &backoff) == .ended { return feed.finish() }
      } catch let status as Status where status.isWorthRetrying {
        logger.debug("watch broke", metadata: ["of": "\(feed.key.text)", "status": "\(status)"])
      } catch let failure as UpstreamFailure where failure.status.isWorthRetrying {
        // Whether the mission has ended could not be asked; that is found out next time.
      } catch {
        if Task.isCancelled { break }
        return fail(error, after: after)
      }
      do { try await backoff.pause() } catch { break }
    }
    // Whoever still watches is told to come back.
    feed.fail(FeedFailure(failure: Self.stopping, after: feed.resumesAfter))
  }

  static let stopping = UpstreamFailure(service: .progress, status: Status(.unavailable, "the gateway is stopping"))

  private func follow(after: UInt64?, _ backoff: inout Backoff) async throws -> Outcome {
    let watch = try await feed.source.watch(after: after)
    feed.establish(after: try await watch.established())
    var last = after
    while let entry = try await watch.next() {
      if let last, entry.number <= last { continue }
      // What is not kept any more cannot be asked for again; who begins before it asks for itself.
      if feed.key.isOfAll, entry.event.type == .gap, entry.event.sequence > 0 { continue }
      guard isNext(entry, after: last) else { return .broken }
      backoff.reset()
      let event = try FeedEvent(entry.event, number: entry.number)
      await feed.append(event)
      try Task.checkCancellation()
      last = entry.number
      if event.isLast, !feed.key.isOfAll { return .ended }
    }
    return try await feed.source.isComplete(after: last ?? 0) ? .ended : .broken
  }

  /// An event that the service left out because this feed was slow is asked for again, as is one that is not there.
  private func isNext(_ entry: FeedSource.Entry, after last: UInt64?) -> Bool {
    let isGap = entry.event.type == .gap
    guard isGap || (!feed.key.isOfAll && entry.number != (last ?? 0) + 1) else { return true }
    logger.log(
      level: isGap ? .debug : .warning, "gap in the watch",
      metadata: ["of": "\(feed.key.text)", "after": "\(last ?? 0)", "next": "\(entry.number)"])
    return false
  }

  private func fail(_ error: any Error, after: UInt64?) {
    let failure =
      error as? UpstreamFailure
      ?? UpstreamFailure(service: .progress, status: error as? Status ?? Status(.internalError, "\(error)"))
    logger.warning("watch failed", metadata: ["of": "\(feed.key.text)", "status": "\(failure.status)"])
    feed.fail(FeedFailure(failure: failure, after: after))
  }
}
