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
  let heartbeat: Duration
  let logger: Logger
  let metrics: GatewayMetrics

  func register(in routes: inout RouteTable) {
    routes.get("/api/v1/missions/:id/events", events)
    routes.get("/api/v1/missions/:id/progress", snapshot)
  }

  @Sendable func events(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let mission = try context.pathText("id")
    let query = try request.query(["after_sequence", "wait", "limit"])
    let after = try query.integer("after_sequence", in: 0...UInt64(Int64.max)) ?? 0
    guard request.headers[.accept]?.lowercased().contains("text/event-stream") == true else {
      return try await poll(mission, after: after, query, request)
    }
    // A browser that reconnects repeats the address it had first, so what it saw last counts more.
    let resumed = try request.headers[.lastEventID].flatMap { try lastEventID($0) }
    try await requireMission(mission)
    let events = MissionEvents(missionID: mission, after: resumed ?? after, upstreams: upstreams, logger: logger)
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

  private func lastEventID(_ text: String) throws -> UInt64? {
    text.isEmpty ? nil : try wholeNumber(text, named: "Last-Event-ID", in: 0...UInt64(Int64.max))
  }

  // MARK: - Long poll

  /// Stored events after `after`; waits up to the query's `wait` (0 to 60 s) for the first.
  private func poll(_ mission: String, after: UInt64, _ query: Query, _ request: Request) async throws -> Response {
    let wait = Duration.seconds(try query.integer("wait", in: 0...60) ?? 0)
    let limit = try query.integer("limit", in: 1...1000) ?? Int32(0)
    let end = ContinuousClock.now.advanced(by: wait)
    if wait == .zero { return try .json(message: await poll(mission, after: after, until: end, limit: limit)) }
    // To notice the client's leaving, Hummingbird reads on past the request, and the connection is used up.
    do {
      let answer = try await request.body.consumeWithCancellationOnInboundClose { _ in
        try await pollUntilShutdown(mission, after: after, until: end, limit: limit)
      }
      return try .json(message: answer, headers: [.connection: "close"])
    } catch let failure as UpstreamFailure {
      var error = GatewayError(failure.status, from: failure.service)
      error.headers[.connection] = "close"
      throw error
    }
  }

  private func pollUntilShutdown(
    _ mission: String, after: UInt64, until end: ContinuousClock.Instant, limit: Int32
  ) async throws -> ListEventsResponse {
    do {
      return try await cancelWhenGracefulShutdown {
        try await poll(mission, after: after, until: end, limit: limit)
      }
    } catch where error is CancellationError || (error as? UpstreamFailure)?.status.code == .cancelled {
      // The gateway stops: nothing yet, the client asks the next one.
      return ListEventsResponse()
    }
  }

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
        if !isKnown { try await requireMission(mission) }
        isKnown = true
      }
      if left == .zero { return ListEventsResponse() }
      try await Task.sleep(for: min(left, .milliseconds(200)))
    }
  }

  // MARK: - Does it exist

  /// Asks execution; while that is away, progress vouches for a mission it has events of.
  /// - Throws: `UpstreamFailure` with execution's status, NOT_FOUND if there is no such mission.
  private func requireMission(_ mission: String) async throws {
    do {
      let wanted = GetMissionRequest(id: mission)
      _ = try await upstreams.call(.execution) { try await upstreams.missions.get(wanted, $0) }
    } catch let failure as UpstreamFailure where [.unavailable, .deadlineExceeded].contains(failure.status.code) {
      do {
        let wanted = ListEventsRequest(missionId: mission, limit: 1)
        _ = try await upstreams.call(.progress) { try await upstreams.progress.list(wanted, $0) }
      } catch {
        throw failure
      }
    }
  }
}
