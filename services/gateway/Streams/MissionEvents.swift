import Logging
import Messages
import RPC
import ServiceKit
import Stubs

/// A mission's events after a sequence, each exactly once and in order, until the mission's last one.
///
/// The progress service may restart in between: the sequence resumes after the last event it gave out, and checks each
/// number. It asks for an event only when it is asked for one, so a slow reader slows its own gRPC stream and nothing
/// else.
struct MissionEvents: AsyncSequence, Sendable {
  typealias Element = ProgressEvent

  let missionID: String
  /// Events up to this number are known already.
  let after: UInt64
  let upstreams: Upstreams
  let logger: Logger

  func makeAsyncIterator() -> Iterator {
    Iterator(events: self, last: after)
  }

  struct Iterator: AsyncIteratorProtocol {
    private let events: MissionEvents
    private var last: UInt64
    private var subscription: Subscription?
    private var backoff = Backoff()
    private var hasEnded = false

    fileprivate init(events: MissionEvents, last: UInt64) {
      self.events = events
      self.last = last
    }

    /// The next event; nil after the last.
    /// - Throws: `UpstreamFailure` where asking again cannot help; `CancellationError`.
    mutating func next() async throws -> ProgressEvent? {
      while !hasEnded {
        do {
          if let event = try await advance() { return event }
        } catch let status as Status where status.isWorthRetrying {
          subscription = nil
          events.logger.debug("watch broke", metadata: ["mission": "\(events.missionID)", "status": "\(status)"])
        } catch let failure as UpstreamFailure where failure.status.isWorthRetrying {
          // Whether the mission has ended could not be asked; that is found out next time.
        } catch let status as Status {
          try Task.checkCancellation()
          throw UpstreamFailure(service: .progress, status: status)
        }
        if !hasEnded { try await backoff.pause() }
      }
      return nil
    }

    /// The next event of the subscription; nil if it has to be made anew, or if the mission has ended.
    private mutating func advance() async throws -> ProgressEvent? {
      if subscription == nil { subscription = try await events.subscribe(after: last) }
      while let event = try await subscription?.responses.next() {
        if event.sequence <= last { continue }
        guard event.sequence == last + 1 else {
          events.logger.warning(
            "gap in the event log", metadata: ["mission": "\(events.missionID)", "after": "\(last)"])
          subscription = nil
          return nil
        }
        last = event.sequence
        backoff.reset()
        if event.isLast { hasEnded = true }
        return event
      }
      subscription = nil
      hasEnded = try await events.isComplete(after: last)
      return nil
    }
  }

  /// One watch, and its place on a connection.
  private struct Subscription {
    let lease: StreamClients.Lease
    var responses: ResponseStream<ProgressEvent>.AsyncIterator
  }

  private func subscribe(after last: UInt64) async throws -> Subscription {
    let lease = upstreams.progressStreams.lease()
    let wanted = WatchEventsRequest(missionId: missionID, afterSequence: last)
    let responses = try await ProgressClient(lease.client).watch(wanted)
    return Subscription(lease: lease, responses: responses.makeAsyncIterator())
  }

  /// True if the mission has ended and nothing comes after `last`.
  private func isComplete(after last: UInt64) async throws -> Bool {
    let wanted = ListEventsRequest(missionId: missionID, afterSequence: last, limit: 1)
    let answer = try await upstreams.call(.progress) { try await upstreams.progress.list(wanted, $0) }
    return answer.complete && answer.events.isEmpty
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

/// Growing pauses with jitter, so that a thousand watchers do not come back at the same moment.
struct Backoff: Sendable {
  private static let first: Duration = .milliseconds(50)
  private static let longest: Duration = .seconds(2)
  private var next = Backoff.first

  mutating func reset() { next = Self.first }

  /// Waits between half of the current pause and all of it.
  /// - Throws: `CancellationError`.
  mutating func pause() async throws {
    try await Task.sleep(for: next * Double.random(in: 0.5...1))
    next = min(next * 2, Self.longest)
  }
}
