import AsyncAlgorithms
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// Events as text/event-stream (WHATWG HTML §9.2), of one mission or of all: `id` is the sequence or the position,
/// `data` one line of ProtoJSON.
struct ServerSentEvents: Sendable {
  let events: FeedReader
  /// After this long without anything else a comment keeps proxies from taking the connection for dead.
  let heartbeat: Duration
  let logger: Logger
  let metrics: GatewayMetrics

  private enum Item: Sendable {
    case event(FeedReader.Element)
    case heartbeat
  }

  /// The answer to `request`. It ends after a mission's last event; the client's leaving ends the watch.
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
    // The first bytes show the client at once that the stream stands, and how soon to come back.
    try await writer.write(ByteBuffer(string: "retry: 1000\n\n"))
    do {
      for try await item in items.cancelOnGracefulShutdown() {
        switch item {
        case .event(.events(let events)): try await writer.write(text(of: events))
        case .event(.gap(let number)): try await writer.write(gapText(number))
        case .event(.notKept(let number, let pruned)): try await writer.write(gapText(number, notKept: pruned))
        case .event(.end(let last)): return try await writer.write(endText(last))
        case .heartbeat: try await writer.write(ByteBuffer(string: ": waiting\n\n"))
        }
      }
    } catch let error as GatewayError {
      logger.warning("event stream failed", metadata: ["of": "\(events.key.text)", "error": "\(error.message)"])
      try await writer.write(ByteBuffer(string: "event: error\ndata: \(error.json)\n\n"))
    }
  }

  /// What to write, as it comes. Each side holds one item at the most: a slow client holds up its own reading alone.
  private var items: some AsyncSequence<Item, any Error> & Sendable {
    merge(
      events.map { Item.event($0) }, AsyncTimerSequence.repeating(every: heartbeat).map { _ in Item.heartbeat })
  }

  private func text(of events: [FeedEvent]) -> ByteBuffer {
    var text = ByteBuffer()
    for event in events {
      text.writeString("id: \(event.number)\nevent: \(event.name)\ndata: ")
      text.writeImmutableBuffer(event.json)
      text.writeStaticString("\n\n")
    }
    return text
  }

  /// A reconnecting client goes on after the gap.
  private func gapText(_ number: UInt64, notKept pruned: UInt64? = nil) -> ByteBuffer {
    ByteBuffer(string: "id: \(number)\nevent: gap\ndata: {\(gapFields(number, notKept: pruned))}\n\n")
  }

  /// An event without data would not be shown to a page's script, so it carries a little.
  private func endText(_ last: UInt64) -> ByteBuffer {
    guard case .mission(let id) = events.key else { return ByteBuffer() }
    return ByteBuffer(
      string: "event: end\ndata: {\"missionId\":\(jsonQuoted(id)),\"lastSequence\":\"\(last)\"}\n\n")
  }
}

/// A gap's fields, as every transport shows them.
/// - Parameter pruned: the position up to which some events are not kept any more, where that is what the gap is about.
func gapFields(_ resumeAfter: UInt64, notKept pruned: UInt64?) -> String {
  "\"resumeAfter\":\"\(resumeAfter)\"" + (pruned.map { ",\"prunedThrough\":\"\($0)\"" } ?? "")
}
