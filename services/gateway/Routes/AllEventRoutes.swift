import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// The events of all missions that a filter lets through, as a stream or by long poll.
extension EventRoutes {
  @Sendable func allEvents(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query([
      "after_position", "from_now", "owner", "label", "state", "recipe", "coalesce_after", "wait", "limit",
    ])
    let filter = try eventFilter(query)
    let after = try query.integer("after_position", in: 0...UInt64(Int64.max))
    let isFromNow = try query.flag("from_now")
    guard !(isFromNow && after != nil) else {
      throw GatewayError.badRequest("from_now and after_position contradict each other.")
    }
    guard request.takesEventStream else {
      guard !isFromNow else { throw GatewayError.badRequest("from_now is for streams; a poll takes after_position.") }
      return try await longPoll(query, request, empty: ListAllEventsResponse(position: after ?? 0)) {
        try await poll(filter, after: after ?? 0, until: $0, limit: $1)
      }
    }
    let resumed = try request.lastEventID
    let start = isFromNow && resumed == nil ? FeedCursor.fromNow : FeedCursor(number: resumed ?? after ?? 0)
    return try stream(.all(filter), from: start, query, request)
  }

  private func poll(
    _ filter: EventFilter, after: UInt64, until end: ContinuousClock.Instant, limit: Int32
  ) async throws -> ListAllEventsResponse {
    let lease = upstreams.progressStreams.lease()
    let left = max(.zero, ContinuousClock.now.duration(to: end))
    let wanted = ListAllEventsRequest(
      filter: filter, afterPosition: after, wait: GoogleProtobufDuration(left), limit: limit)
    return try await upstreams.call(.progress, extra: left) {
      try await ProgressClient(lease.client).listAll(wanted, $0)
    }
  }

  private func eventFilter(_ query: Query) throws -> EventFilter {
    var labels: [String: String] = [:]
    for text in query.texts("label") {
      let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty else {
        throw GatewayError.badRequest("label must be name:value, not \"\(text.prefix(40))\".")
      }
      labels[parts[0]] = parts[1]
    }
    return EventFilter(
      owner: query.text("owner") ?? "", labels: labels, states: try query.list("state").map(missionState).canonical,
      recipe: query.text("recipe") ?? "")
  }
}

extension [MissionState] {
  /// Each once and in order, so that those who ask for the same share a feed.
  var canonical: [MissionState] { Set(self).sorted { $0.rawValue < $1.rawValue } }
}

/// `RUNNING` or `MISSION_STATE_RUNNING`, in either case.
/// - Throws: `GatewayError` 400, naming the states there are.
func missionState(_ text: String) throws -> MissionState {
  let name = text.uppercased()
  let known = MissionState.allKnown.filter { $0 != .unspecified }
  if let state = known.first(where: { $0.protoName == name || $0.label == name }) { return state }
  let names = known.map(\.label).joined(separator: ", ")
  throw GatewayError.badRequest("state must be one of \(names), not \"\(text.prefix(40))\".")
}
