import Hummingbird
import Logging
import Messages
import RPC
import ServiceKit
import ServiceLifecycle
import Stubs

/// A mission's progress: its events as a stream or by long poll, and the snapshot.
struct EventRoutes: Sendable {
  let upstreams: Upstreams
  let feeds: EventFeeds
  let heartbeat: Duration
  let logger: Logger
  let metrics: GatewayMetrics

  func register(in routes: inout RouteTable) {
    routes.get("/api/v1/missions/:id/events", events)
    routes.get("/api/v1/missions/:id/progress", snapshot)
    routes.get("/api/v1/events", allEvents)
  }

  @Sendable func events(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let mission = try context.pathText("id")
    let query = try request.query(["after_sequence", "wait", "limit", "coalesce_after"])
    let after = try query.integer("after_sequence", in: 0...UInt64(Int64.max)) ?? 0
    guard request.takesEventStream else {
      return try await longPoll(query, request, empty: ListEventsResponse()) {
        try await poll(mission, after: after, until: $0, limit: $1)
      }
    }
    let resumed = try request.lastEventID
    try await upstreams.requireMission(mission)
    return try stream(.mission(mission), from: FeedCursor(number: resumed ?? after), query, request)
  }

  func stream(_ key: FeedKey, from start: FeedCursor, _ query: Query, _ request: Request) throws -> Response {
    let coalesceAfter = try query.integer("coalesce_after", in: 0...UInt32.max) ?? 0
    let events = FeedReader(feeds: feeds, key: key, start: start, coalesceAfter: coalesceAfter)
    return ServerSentEvents(events: events, heartbeat: heartbeat, logger: logger, metrics: metrics)
      .response(to: request)
  }

  /// What progress knows. A mission that it has not heard of yet is told from execution's record.
  @Sendable func snapshot(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let mission = try context.pathText("id")
    do {
      let wanted = SnapshotRequest(missionId: mission)
      return try .json(message: await upstreams.call(.progress) { try await upstreams.progress.snapshot(wanted, $0) })
    } catch let failure as UpstreamFailure where failure.status.code == .notFound {
      let wanted = GetMissionRequest(id: mission)
      let known = try await upstreams.call(.execution) { try await upstreams.missions.get(wanted, $0) }
      return try .json(
        message: ProgressSnapshot(
          missionId: mission, state: known.state, steps: known.steps, percent: known.percent))
    }
  }

  // MARK: - Long poll

  /// Asks with the query's `wait` (0 to 60 s) and `limit`; `empty` where the gateway stops meanwhile.
  func longPoll<Answer: ProtobufMessage>(
    _ query: Query, _ request: Request, empty: Answer,
    _ ask: @escaping @Sendable (ContinuousClock.Instant, Int32) async throws -> Answer
  ) async throws -> Response {
    let wait = Duration.seconds(try query.integer("wait", in: 0...60) ?? 0)
    let limit = try query.integer("limit", in: 1...1000) ?? Int32(0)
    let end = ContinuousClock.now.advanced(by: wait)
    if wait == .zero { return try .json(message: await ask(end, limit)) }
    // To notice the client's leaving, Hummingbird reads on past the request, and the connection is used up.
    do {
      let answer = try await request.body.consumeWithCancellationOnInboundClose { _ in
        try await untilShutdown(empty) { try await ask(end, limit) }
      }
      return try .json(message: answer, headers: [.connection: "close"])
    } catch let failure as UpstreamFailure {
      var error = GatewayError(failure.status, from: failure.service)
      error.headers[.connection] = "close"
      throw error
    }
  }

  private func untilShutdown<Answer: ProtobufMessage>(
    _ empty: Answer, _ ask: @escaping @Sendable () async throws -> Answer
  ) async throws -> Answer {
    do {
      return try await cancelWhenGracefulShutdown { try await ask() }
    } catch where error is CancellationError || (error as? UpstreamFailure)?.status.code == .cancelled {
      // The gateway stops: nothing yet, the client asks the next one.
      return empty
    }
  }

  /// Stored events after `after`; waits until `end` for the first.
  private func poll(
    _ mission: String, after: UInt64, until end: ContinuousClock.Instant, limit: Int32
  ) async throws -> ListEventsResponse {
    let lease = upstreams.progressStreams.lease()
    let progress = ProgressClient(lease.client)
    var isKnown = false
    while true {
      let left = max(.zero, ContinuousClock.now.duration(to: end))
      let wanted = ListEventsRequest(
        missionId: mission, afterSequence: after, wait: GoogleProtobufDuration(left), limit: limit)
      do {
        return try await upstreams.call(.progress, extra: left) { try await progress.list(wanted, $0) }
      } catch let failure as UpstreamFailure where failure.status.code == .notFound {
        // Progress hears of a mission a moment after execution took it.
        if !isKnown { try await upstreams.requireMission(mission) }
        isKnown = true
      } catch let failure as UpstreamFailure where failure.status.code == .outOfRange {
        throw await FeedSource(key: .mission(mission), upstreams: upstreams).error(for: failure)
      }
      if left == .zero { return ListEventsResponse() }
      try await Task.sleep(for: min(left, .milliseconds(200)))
    }
  }
}

extension Request {
  var takesEventStream: Bool { headers[.accept]?.lowercased().contains("text/event-stream") == true }

  /// What a browser that reconnects saw last. It repeats the address that it had first, so this counts more.
  /// - Throws: `GatewayError` 400 if it is no number.
  var lastEventID: UInt64? {
    get throws {
      guard let text = headers[.lastEventID], !text.isEmpty else { return nil }
      return try wholeNumber(text, named: "Last-Event-ID", in: 0...UInt64(Int64.max))
    }
  }
}

extension Upstreams {
  /// Asks execution; while that is away, progress vouches for a mission it has events of.
  /// - Throws: `UpstreamFailure` with execution's status, NOT_FOUND if there is no such mission.
  func requireMission(_ mission: String) async throws {
    do {
      let wanted = GetMissionRequest(id: mission)
      _ = try await call(.execution) { try await missions.get(wanted, $0) }
    } catch let failure as UpstreamFailure where [.unavailable, .deadlineExceeded].contains(failure.status.code) {
      do {
        let wanted = ListEventsRequest(missionId: mission, limit: 1)
        _ = try await call(.progress) { try await progress.list(wanted, $0) }
      } catch {
        throw failure
      }
    }
  }
}
