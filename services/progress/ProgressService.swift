import Foundation
import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.progress.v1.Progress` on the wire.
struct ProgressService: ProgressHandler {
  /// How many events one `Record` takes at the most.
  static let maximumBatch = 1_000
  /// The longest wait of a `List`.
  static let maximumWait = Duration.seconds(60)
  /// How many events a watcher reads from the log at a time; the rest waits in the log while the watcher is slow.
  static let readAhead = 256

  let log: EventLog
  let unknownMissionWait: Duration

  func record(_ request: RecordEventsRequest, _ context: ServerContext) async throws -> RecordEventsResponse {
    guard request.events.count <= Self.maximumBatch else {
      throw Status(.invalidArgument, "\(request.events.count) events; at most \(Self.maximumBatch) in one call")
    }
    for event in request.events { try Self.check(event) }
    return RecordEventsResponse(stored: Int32(try await log.record(request.events)))
  }

  func watch(
    _ request: WatchEventsRequest, _ responses: ResponseWriter<ProgressEvent>, _ context: ServerContext
  ) async throws {
    try Self.requireID(request.missionId)
    try await log.hub.following(request.missionId) { follower in
      try await requireKnown(request.missionId, follower)
      var cursor = request.afterSequence
      while true {
        let piece = try await log.read(request.missionId, after: cursor, limit: Self.readAhead)
        for event in piece.events {
          try await responses.write(event)
          cursor = event.sequence
        }
        if piece.isComplete, cursor >= piece.last ?? 0 { return }
        if piece.events.isEmpty { await follower.wait(after: cursor) }
        try Task.checkCancellation()
        if log.hub.isClosed {
          throw Status(.unavailable, "the progress service is stopping; watch again after sequence \(cursor)")
        }
      }
    }
  }

  func list(_ request: ListEventsRequest, _ context: ServerContext) async throws -> ListEventsResponse {
    try Self.requireID(request.missionId)
    let wait = request.wait?.duration ?? .zero
    guard (.zero...Self.maximumWait).contains(wait) else {
      throw Status(.invalidArgument, "wait is \(wait); it must be 0 to \(Self.maximumWait)")
    }
    guard (0...1_000).contains(request.limit) else {
      throw Status(.invalidArgument, "limit is \(request.limit); it must be 0 to 1000")
    }
    let limit = request.limit == 0 ? 1_000 : Int(request.limit)
    return try await log.hub.following(request.missionId) { follower in
      try await requireKnown(request.missionId, follower)
      var piece = try await log.read(request.missionId, after: request.afterSequence, limit: limit)
      if piece.events.isEmpty, !piece.isComplete, wait > .zero {
        await waitForNews(follower, after: request.afterSequence, atMost: wait)
        piece = try await log.read(request.missionId, after: request.afterSequence, limit: limit)
      }
      let shown = try Page.fitting(piece.events)
      let reached = shown.last?.sequence ?? request.afterSequence
      return ListEventsResponse(events: shown, complete: piece.isComplete && reached >= piece.last ?? 0)
    }
  }

  func snapshot(_ request: SnapshotRequest, _ context: ServerContext) async throws -> ProgressSnapshot {
    try Self.requireID(request.missionId)
    try await log.hub.following(request.missionId) { try await requireKnown(request.missionId, $0) }
    let piece = try await log.read(request.missionId, after: 0, limit: Int(Int32.max))
    let now = Date()
    var snapshot = ProgressSnapshot(missionID: request.missionId, events: piece.events, now: now)
    try await snapshot.estimate(from: log.history, reportedAt: nil, now: now)
    return snapshot
  }

  /// What is taken in from the outbox of the execution service: events, one a message.
  var inboxTopic: InboxTopic {
    InboxTopic("progress", ProgressEvent.self) { [log] event, _, connection in
      try Self.check(event)
      try log.append(event, connection)
    }
  }

  // MARK: -

  /// Throws `Status` INVALID_ARGUMENT for what no event can be.
  private static func check(_ event: ProgressEvent) throws {
    try requireID(event.missionId)
    guard (1...UInt64(Int64.max)).contains(event.sequence) else {
      throw Status(.invalidArgument, "\(event.sequence) is no sequence number; the first is 1")
    }
    guard event.time?.isValid ?? true else {
      throw Status(.invalidArgument, "the time of event \(event.sequence) is not within the years 1 to 9999")
    }
    guard (0...100).contains(event.percent) else {
      throw Status(.invalidArgument, "percent is \(event.percent); it must be 0 to 100")
    }
  }

  /// A mission becomes known with its first event, which may still be on its way: so wait a little before NOT_FOUND.
  private func requireKnown(_ missionID: String, _ follower: EventHub.Follower) async throws {
    if try await log.read(missionID, after: 0, limit: 1).last != nil { return }
    await waitForNews(follower, after: 0, atMost: unknownMissionWait)
    guard try await log.read(missionID, after: 0, limit: 1).last != nil else {
      throw Status(.notFound, "no event of a mission \(missionID) is known")
    }
  }

  private func waitForNews(_ follower: EventHub.Follower, after sequence: UInt64, atMost wait: Duration) async {
    await withTaskGroup { group in
      group.addTask { await follower.wait(after: sequence) }
      group.addTask { try? await Task.sleep(for: wait) }
      await group.next()
      group.cancelAll()
    }
  }

  private static func requireID(_ id: String) throws {
    guard (1...200).contains(id.count) else {
      throw Status(.invalidArgument, "a mission id has 1 to 200 characters, not \(id.count)")
    }
  }
}
