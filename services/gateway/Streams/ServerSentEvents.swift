import AsyncAlgorithms
import Hummingbird
import Logging
import Messages
import NIOCore
import ServiceLifecycle

/// A mission's events as text/event-stream (WHATWG HTML §9.2): `id` is the sequence, `data` one line of ProtoJSON.
struct ServerSentEvents: Sendable {
  let events: MissionEvents
  /// After this long without anything else a comment keeps proxies from taking the connection for dead.
  let heartbeat: Duration
  let logger: Logger
  let metrics: GatewayMetrics

  private enum Item: Sendable {
    case event(ProgressEvent)
    case end
    case heartbeat
  }

  /// The answer to `request`. It ends after the mission's last event; the client's leaving cancels the watch.
  func response(to request: Request) -> Response {
    let headers: HTTPFields = [.contentType: "text/event-stream", .cacheControl: "no-store", .connection: "close"]
    return Response(
      status: .ok, headers: headers,
      body: ResponseBody { writer in
        try await request.body.consumeWithCancellationOnInboundClose { _ in
          try await metrics.countingStream { try await pump(into: &writer) }
        }
        try await writer.finish(nil)
      })
  }

  /// Writes until the mission's end. Where the gateway stops first, the stream ends without `end`, so that the client
  /// comes back to the next gateway with the last id it saw.
  private func pump(into writer: inout any ResponseBodyWriter) async throws {
    var last = events.after
    // The first bytes show the client at once that the stream stands, and how soon to come back.
    try await writer.write(ByteBuffer(string: "retry: 1000\n\n"))
    do {
      for try await item in items.cancelOnGracefulShutdown() {
        switch item {
        case .event(let event):
          last = event.sequence
          try await writer.write(try text(of: event))
        case .heartbeat:
          try await writer.write(ByteBuffer(string: ": waiting\n\n"))
        case .end:
          return try await writer.write(endText(last))
        }
      }
    } catch let failure as UpstreamFailure {
      let error = GatewayError(failure.status, from: failure.service)
      logger.warning("event stream failed", metadata: ["mission": "\(events.missionID)", "error": "\(error.message)"])
      try await writer.write(text(of: error))
    }
  }

  /// What to write, as it comes. Each side holds one item at the most: backpressure reaches the gRPC stream.
  private var items: some AsyncSequence<Item, any Error> & Sendable {
    merge(
      chain(events.map { Item.event($0) }, [Item.end].async),
      AsyncTimerSequence.repeating(every: heartbeat).map { _ in Item.heartbeat })
  }

  private func text(of event: ProgressEvent) throws -> ByteBuffer {
    ByteBuffer(string: "id: \(event.sequence)\nevent: \(event.type.eventName)\ndata: \(try protoJSON(event))\n\n")
  }

  /// An event without data would not be shown to a page's script, so it carries a little.
  private func endText(_ last: UInt64) -> ByteBuffer {
    let mission = jsonQuoted(events.missionID)
    return ByteBuffer(string: "event: end\ndata: {\"missionId\":\(mission),\"lastSequence\":\"\(last)\"}\n\n")
  }

  private func text(of error: GatewayError) -> ByteBuffer {
    ByteBuffer(string: "event: error\ndata: \(error.json)\n\n")
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
