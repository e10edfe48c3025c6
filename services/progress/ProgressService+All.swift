import Foundation
import Messages
import RPC
import Stubs

extension ProgressService {
  func watchAll(
    _ request: WatchAllEventsRequest, _ responses: ResponseWriter<PositionedEvent>, _ context: ServerContext
  ) async throws {
    try await log.hub.following(EventHub.allMissions) { follower in
      let newest = try await log.newestPosition()
      var cursor: UInt64
      switch request.start {
      case .fromNow(true): cursor = newest
      case .afterPosition(let position): cursor = position
      case .fromNow(false), nil: cursor = 0
      }
      try Self.check(cursor, newest)
      // Tells the watcher that it misses nothing from now on, and where that is: it resumes there if the stream breaks
      // before its first event.
      context.sendInitialMetadata([ProgressClient.positionKey: "\(cursor)"])
      var replay = Replay(from: cursor, to: newest, maximumLag: maximumLag)
      var coalescer = Coalescer(after: request.coalesceAfter)
      var notice = PrunedNotice(from: cursor)
      let selection = EventSelection(request.filter)
      while true {
        let stretch = try await log.read(after: cursor, limit: Self.readAhead)
        if let pruned = notice.due(stretch.prunedThrough) {
          try await responses.write(try Self.notKept(through: pruned, after: cursor))
        }
        let ahead = max(log.recent.newest ?? 0, stretch.through)
        for entry in coalescer.thin(stretch.events.filter(selection.passes), distance: { ahead - $0.position + 1 }) {
          try await responses.write(try entry.positionedFrame())
        }
        let isUpToDate = stretch.events.isEmpty && stretch.through == cursor
        cursor = stretch.through
        if isUpToDate { await follower.wait(after: cursor) }
        try checkGoesOn("position \(cursor)")
        let newest = log.recent.newest ?? cursor
        if replay.mustSkip(at: cursor, newest: newest) {
          try await responses.write(try Self.gap(to: newest, from: cursor))
          cursor = newest
        }
      }
    }
  }

  func listAll(_ request: ListAllEventsRequest, _ context: ServerContext) async throws -> ListAllEventsResponse {
    let (limit, end) = try Self.bounds(limit: request.limit, wait: request.wait)
    let selection = EventSelection(request.filter)
    return try await log.hub.following(EventHub.allMissions) { follower in
      try Self.check(request.afterPosition, try await log.newestPosition())
      var batch = Batch(limit: limit)
      var cursor = request.afterPosition
      var looked = 0
      var pruned: UInt64 = 0
      while !batch.isFull, looked < Self.mostLookedAt {
        let stretch = try await log.read(after: cursor, limit: Self.readAhead)
        pruned = max(pruned, stretch.prunedThrough ?? 0)
        for event in stretch.events {
          if selection.passes(event), !batch.add(event) { break }
          cursor = event.position
        }
        if batch.isFull { break }
        looked += stretch.events.count
        guard stretch.events.isEmpty else { continue }
        let isUpToDate = stretch.through == cursor
        cursor = stretch.through
        guard isUpToDate else { continue }
        let left = end - .now
        guard batch.events.isEmpty, left > .zero else { break }
        await follower.wait(after: cursor, atMost: left)
        try checkGoesOn("position \(cursor)")
      }
      let events = batch.events.map { PositionedEvent(position: $0.position, event: $0.event) }
      return ListAllEventsResponse(events: events, position: cursor, prunedPosition: pruned)
    }
  }

  /// How many events one `ListAll` looks at the most before it answers, whatever it found.
  private static let mostLookedAt = 20_000

  private static func check(_ position: UInt64, _ newest: UInt64) throws {
    guard position <= newest else {
      throw Status(.outOfRange, "no event has the position \(position) yet; the newest one is \(newest)")
    }
  }

  /// It leaves out nothing that is kept, so it stands where the watcher is.
  private static func notKept(
    through pruned: UInt64, after cursor: UInt64
  ) throws -> EncodedMessage<PositionedEvent> {
    let event = ProgressEvent(
      sequence: pruned, time: .now, type: .gap,
      message: "some events after position \(cursor) and up to \(pruned) are not kept any more")
    return try EncodedMessage(PositionedEvent(position: cursor, event: event), .protobuf)
  }

  private static func gap(to position: UInt64, from cursor: UInt64) throws -> EncodedMessage<PositionedEvent> {
    let message = "the watcher was \(position - cursor) events behind; those up to position \(position) are left out"
    let event = ProgressEvent(time: .now, type: .gap, message: message)
    return try EncodedMessage(PositionedEvent(position: position, event: event), .protobuf)
  }
}
