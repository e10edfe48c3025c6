import Messages
import NIOCore

/// What a feed is of. All watchers of one thing share one watch of the progress service.
enum FeedKey: Hashable, Sendable {
  case mission(String)
  case all(EventFilter)

  /// Its events are numbered over all missions, by position.
  var isOfAll: Bool {
    if case .all = self { true } else { false }
  }

  /// For the log.
  var text: String {
    switch self {
    case .mission(let id): "mission \(id)"
    case .all: "all missions"
    }
  }
}

/// How far a watcher is.
struct FeedCursor: Equatable, Sendable {
  /// The sequence (of one mission) or position (of all) up to which it needs nothing.
  var number: UInt64
  /// True until it has got anything: it takes whatever the feed gets from the service, `number` does not count.
  var isFromNow = false

  static let fromNow = FeedCursor(number: 0, isFromNow: true)

  init(number: UInt64, isFromNow: Bool = false) {
    self.number = number
    self.isFromNow = isFromNow
  }
}

/// One event, encoded once for all who watch.
final class FeedEvent: Sendable {
  /// Its sequence in a mission's feed, its position in a feed of all.
  let number: UInt64
  /// The event as the HTTP API shows it everywhere.
  let json: ByteBuffer
  /// The name of the server-sent event: "step_started".
  let name: String
  /// Nothing comes after it in a mission's feed.
  let isLast: Bool
  let missionID: String
  /// The event itself where it may be left out for a slow watcher, or stand for others that were.
  let progress: ProgressEvent?

  /// - Throws: `JSONError` for an event that JSON has no form for.
  init(_ event: ProgressEvent, number: UInt64) throws {
    self.number = number
    json = ByteBuffer(string: try protoJSON(event))
    name = event.type.eventName
    isLast = event.isLast
    missionID = event.missionId
    progress = event.type == .stepProgress ? event : nil
  }

  /// The same event, standing for `count` before it that were left out.
  /// - Throws: `JSONError`, which an event that was encoded before does not cause.
  func standing(for count: UInt32) throws -> FeedEvent {
    guard count > 0, var event = progress else { return self }
    event.coalesced += count
    return try FeedEvent(event, number: number)
  }
}

extension [FeedEvent] {
  /// Leaves out `STEP_PROGRESS` events which a newer one of the same step directly follows, as long as what is left to
  /// send is more than `limit`; the newer one says how many.
  ///
  /// - Parameters:
  ///   - limit: The watcher's `coalesceAfter`; 0 leaves nothing out.
  ///   - more: How many events follow after these.
  func coalesced(after limit: UInt32, more: Int) throws -> [FeedEvent] {
    let candidates = limit == 0 ? 0 : Swift.min(count, Swift.max(0, count + more - Int(limit)))
    guard candidates > 0 else { return self }
    var kept: [FeedEvent] = []
    /// How many were left out before the mission's next event.
    var left: [String: UInt32] = [:]
    for (index, event) in enumerated() {
      if index < candidates, let event = event.progress, let next = next(of: event.missionId, after: index),
        next.progress?.step == event.step
      {
        left[event.missionId, default: 0] += 1 + event.coalesced
      } else {
        kept.append(try event.standing(for: left.removeValue(forKey: event.missionID) ?? 0))
      }
    }
    return kept
  }

  private func next(of mission: String, after index: Int) -> FeedEvent? {
    self[(index + 1)...].first { $0.missionID == mission }
  }
}

extension EventType {
  /// The name of the server-sent event: "step_started" for EVENT_TYPE_STEP_STARTED.
  var eventName: String {
    let prefix = "EVENT_TYPE_"
    let name = protoName
    return name.hasPrefix(prefix) ? name.dropFirst(prefix.count).lowercased() : "unknown"
  }
}
