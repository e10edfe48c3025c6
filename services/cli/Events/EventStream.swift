import Messages

/// Follows a mission's events to their end through a gateway that may go away and come back.
struct EventStream: Sendable {
  typealias Notice = StreamNotice<ProgressEvent>

  let gateway: GatewayClient
  let mission: String
  /// From the gateway's last sign of life to giving up.
  var patience = Duration.seconds(60)

  /// Calls `report` with every event after `sequence`, each exactly once and in order; returns after the last one.
  /// Throws what the gateway refuses (an unknown mission; OUT_OF_RANGE for events that are not kept any more), and
  /// status 69 after `patience` without the gateway.
  func follow(after sequence: UInt64, _ report: (Notice) async throws -> Void) async throws {
    var place = MissionPlace(mission: mission, cursor: EventCursor(after: sequence))
    try await ResumedStream<MissionPlace>(gateway: gateway, patience: patience).follow(&place, report)
  }
}

/// Where one is in the log of one mission.
struct MissionPlace: StreamPlace {
  let mission: String
  var cursor: EventCursor

  var path: [String] { ["missions", mission, "events"] }
  var query: [(String, String)] { [("after_sequence", String(cursor.sequence))] }
  var lastEventID: String? { String(cursor.sequence) }
  var progress: UInt64 { cursor.sequence }
  var advice: String {
    "the mission goes on, watch it with `buddy mission watch \(mission) --after \(cursor.sequence)`"
  }

  mutating func take(_ event: ServerSentEvent, isFirst: Bool) throws -> StreamStep<ProgressEvent> {
    if event.type == "end" { return .complete }
    if event.type == "gap" { return .askAgain("events are left out after \(cursor.sequence)") }
    guard let progress = try ProgressEvent.decoded(event) else { return .passOver }
    return switch cursor.take(progress) {
    case .show: .show(progress)
    case .duplicate: .passOver
    case .gap: .askAgain("events are missing after \(cursor.sequence)")
    }
  }
}

extension ProgressEvent {
  /// Nil for kinds of events that this version does not know.
  static func decoded(_ event: ServerSentEvent) throws -> ProgressEvent? {
    switch event.type {
    case "state_changed", "step_started", "step_progress", "step_completed", "step_failed", "mission_changed":
      try WireJSON.decode(ProgressEvent.self, from: Array(event.data.utf8))
    default: nil
    }
  }
}
