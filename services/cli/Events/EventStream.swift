import AsyncHTTPClient
import Messages
import NIOCore
import NIOHTTP1

/// Follows a mission's events to their end through a gateway that may go away and come back.
struct EventStream: Sendable {
  enum Notice: Sendable, Hashable {
    case event(ProgressEvent)
    /// The connection is gone; trying again. Said once for each interruption.
    case interrupted(String)
    case resumed
  }

  let gateway: GatewayClient
  let mission: String
  /// From the gateway's last sign of life to giving up.
  var patience = Duration.seconds(60)

  private enum Ending { case complete, brokenOff(String) }

  /// Calls `report` with every event after `sequence`, each exactly once and in order; returns after the last one.
  /// Throws what the gateway refuses (an unknown mission), and status 69 after `patience` without the gateway.
  func follow(after sequence: UInt64, _ report: (Notice) async throws -> Void) async throws {
    var cursor = EventCursor(after: sequence)
    var policy = ReconnectPolicy(now: .now, limit: patience)
    var interrupted = false
    var fruitless = 0
    while true {
      let reason: String
      let (began, known) = (ContinuousClock.now, cursor.sequence)
      do {
        switch try await readOnce(&cursor, &policy, &interrupted, report) {
        case .complete: return
        case .brokenOff(let why): reason = why
        }
      } catch let error as CommandError where error.exit == .unavailable || error.exit == .tryAgain {
        reason = error.brief
      }
      // A gateway that answers at once, over and over, without anything new would keep us here for ever.
      fruitless = cursor.sequence > known || began.duration(to: .now) > .seconds(5) ? 0 : fruitless + 1
      if fruitless > 50, policy.isAlive { throw CommandError.unexpected("the event stream keeps ending: \(reason)") }
      guard let pause = policy.failed(at: .now) else {
        throw CommandError(
          code: "UNAVAILABLE",
          message: "no contact for \(DurationText.spoken(patience)): \(reason); "
            + "the mission goes on, watch it with `buddy mission watch \(mission) --after \(cursor.sequence)`",
          exit: .unavailable)
      }
      if !interrupted {
        interrupted = true
        try await report(.interrupted(reason))
      }
      try await Task.sleep(for: pause)
    }
  }

  /// One connection, from its request to its end.
  private func readOnce(
    _ cursor: inout EventCursor, _ policy: inout ReconnectPolicy, _ interrupted: inout Bool,
    _ report: (Notice) async throws -> Void
  ) async throws -> Ending {
    let response = try await gateway.open(
      .GET, ["missions", mission, "events"], query: [("after_sequence", String(cursor.sequence))],
      headers: ["accept": "text/event-stream", "last-event-id": String(cursor.sequence)], streaming: true)
    guard response.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true else {
      throw CommandError.unexpected("the gateway's answer is no event stream")
    }
    var parser = ServerSentEventParser()
    var body = response.body.makeAsyncIterator()
    while let bytes = try await gateway.translated({ try await body.next() }) {
      policy.alive(at: .now)
      if interrupted {
        interrupted = false
        try await report(.resumed)
      }
      for event in try parse(&parser, bytes) {
        if event.type == "end" { return .complete }
        guard let progress = try decode(event) else { continue }
        switch cursor.take(progress) {
        case .show: try await report(.event(progress))
        case .duplicate: break
        case .gap: return .brokenOff("events are missing after \(cursor.sequence)")
        }
      }
    }
    return .brokenOff("the connection was closed")
  }

  private func parse(_ parser: inout ServerSentEventParser, _ bytes: ByteBuffer) throws -> [ServerSentEvent] {
    do {
      return try parser.consume(bytes.readableBytesView)
    } catch {
      throw CommandError.unexpected("the event stream cannot be read: \(error)")
    }
  }

  /// Nil for kinds of events that this version does not know.
  private func decode(_ event: ServerSentEvent) throws -> ProgressEvent? {
    switch event.type {
    case "state_changed", "step_started", "step_progress", "step_completed", "step_failed":
      try WireJSON.decode(ProgressEvent.self, from: Array(event.data.utf8))
    default: nil
    }
  }
}
