import Foundation
import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.progress.v1.Progress` on the wire.
///
/// Nothing is kept for a watcher but where it is: it is woken, takes what came after that, and is suspended while its
/// caller reads slowly.
struct ProgressService: ProgressHandler {
  /// How many events one `Record` takes at the most.
  static let maximumBatch = 1_000
  /// The longest wait of a `List`.
  static let maximumWait = Duration.seconds(60)
  /// How many events a watcher takes at a time; the rest waits in the log while the watcher is slow.
  static let readAhead = 256

  let log: EventLog
  let unknownMissionWait: Duration
  /// How many positions a watcher of all missions may fall behind.
  var maximumLag: UInt64 = 10_000

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
    let mission = request.missionId
    try Self.requireID(mission)
    try await log.hub.following(mission) { follower in
      var cursor = request.afterSequence
      var coalescer = Coalescer(after: request.coalesceAfter)
      var piece = try await firstPiece(mission, after: cursor, limit: Self.readAhead, follower)
      while true {
        if let pruned = piece.prunedThrough {
          try await responses.write(try Self.gap(mission, through: pruned, after: cursor))
          cursor = pruned
        }
        let last = piece.last ?? 0
        let holdsBack = request.coalesceAfter > 0 && piece.endsInProgress && cursor < last
        let entries = coalescer.thin(piece.events, holdsBack: holdsBack) { last - min(last, $0.sequence) + 1 }
        for entry in entries { try await responses.write(try entry.frame()) }
        cursor = piece.events.dropLast(holdsBack ? 1 : 0).last?.sequence ?? cursor
        if piece.isComplete, cursor >= last { return }
        if piece.events.isEmpty { await follower.wait(after: cursor) }
        try checkGoesOn("sequence \(cursor)")
        piece = try await log.read(mission, after: cursor, limit: Self.readAhead)
      }
    }
  }

  func list(_ request: ListEventsRequest, _ context: ServerContext) async throws -> ListEventsResponse {
    let mission = request.missionId
    try Self.requireID(mission)
    let (limit, end) = try Self.bounds(limit: request.limit, wait: request.wait)
    return try await log.hub.following(mission) { follower in
      var piece = try await firstPiece(mission, after: request.afterSequence, limit: limit, follower)
      let left = end - .now
      if piece.events.isEmpty, !piece.isComplete, left > .zero {
        await follower.wait(after: request.afterSequence, atMost: left)
        piece = try await log.read(mission, after: request.afterSequence, limit: limit)
        try Self.requireKept(piece, mission)
      }
      var batch = Batch(limit: limit)
      for event in piece.events { guard batch.add(event) else { break } }
      let reached = batch.events.last?.sequence ?? request.afterSequence
      return ListEventsResponse(
        events: batch.events.map(\.event), complete: piece.isComplete && reached >= piece.last ?? 0)
    }
  }

  func snapshot(_ request: SnapshotRequest, _ context: ServerContext) async throws -> ProgressSnapshot {
    let mission = request.missionId
    try Self.requireID(mission)
    return try await log.hub.following(mission) { follower in
      if let snapshot = try await log.snapshot(mission, at: Date()) { return snapshot }
      await follower.wait(after: 0, atMost: unknownMissionWait)
      guard let snapshot = try await log.snapshot(mission, at: Date()) else { throw Self.unknown(mission) }
      return snapshot
    }
  }

  // MARK: -

  /// What a call begins with. A mission becomes known with its first event, which may still be on its way: so this
  /// waits a little before NOT_FOUND. Throws OUT_OF_RANGE where events are not kept any more, and for a sequence that
  /// the mission has not reached: what was never stored, nobody has seen.
  private func firstPiece(
    _ mission: String, after sequence: UInt64, limit: Int, _ follower: EventHub.Follower
  ) async throws -> EventLog.Piece {
    var piece = try await log.read(mission, after: sequence, limit: limit)
    if piece.last == nil {
      await follower.wait(after: 0, atMost: unknownMissionWait)
      piece = try await log.read(mission, after: sequence, limit: limit)
    }
    guard let last = piece.last else { throw Self.unknown(mission) }
    guard sequence <= last else {
      throw Status(.outOfRange, "mission \(mission) has no event \(sequence) yet; its last one is \(last)")
    }
    try Self.requireKept(piece, mission)
    return piece
  }

  private static func unknown(_ mission: String) -> Status {
    Status(.notFound, "no event of a mission \(mission) is known")
  }

  private static func requireKept(_ piece: EventLog.Piece, _ mission: String) throws {
    guard let pruned = piece.prunedThrough else { return }
    throw Status(
      .outOfRange,
      "events up to \(pruned) of mission \(mission) are not kept any more: take a snapshot, and go on after its last "
        + "sequence, or after \(pruned)")
  }

  /// Throws where a stream has to end although nobody asked it to.
  /// - Parameter reached: where to go on.
  func checkGoesOn(_ reached: String) throws {
    try Task.checkCancellation()
    if log.hub.isClosed {
      throw Status(.unavailable, "the progress service is stopping; watch again after \(reached)")
    }
  }

  /// How many events a poll wants at the most, and until when it waits for the first. Throws INVALID_ARGUMENT.
  static func bounds(
    limit: Int32, wait: GoogleProtobufDuration?
  ) throws -> (limit: Int, end: ContinuousClock.Instant) {
    let wait = wait?.duration ?? .zero
    guard (.zero...maximumWait).contains(wait) else {
      throw Status(.invalidArgument, "wait is \(wait); it must be 0 to \(maximumWait)")
    }
    guard (0...1_000).contains(limit) else {
      throw Status(.invalidArgument, "limit is \(limit); it must be 0 to 1000")
    }
    return (limit == 0 ? 1_000 : Int(limit), .now + wait)
  }

  private static func gap(
    _ mission: String, through pruned: UInt64, after cursor: UInt64
  ) throws -> EncodedMessage<ProgressEvent> {
    let event = ProgressEvent(
      missionId: mission, sequence: pruned, time: .now, type: .gap,
      message: "events \(cursor + 1) to \(pruned) are not kept any more")
    return try EncodedMessage(event, .protobuf)
  }

  static func requireID(_ id: String) throws {
    guard (1...200).contains(id.count) else {
      throw Status(.invalidArgument, "a mission id has 1 to 200 characters, not \(id.count)")
    }
  }
}

extension EventLog.Piece {
  /// Whether the last event of several is a step's progress.
  fileprivate var endsInProgress: Bool { events.count > 1 && events.last?.event.type == .stepProgress }
}
