import AsyncHTTPClient
import Messages
import NIOCore
import NIOHTTP1

/// A place in a stream of server-sent events: what was taken of it, and how to ask for the rest. Pure.
protocol StreamPlace: Sendable {
  associatedtype Element: Sendable

  /// The resource below `/api/v1/`.
  var path: [String] { get }
  var query: [(String, String)] { get }
  /// Of the last event that is known; nil where nothing is and nothing was asked for.
  var lastEventID: String? { get }
  /// Rises with everything taken.
  var progress: UInt64 { get }
  /// What to type to go on later.
  var advice: String { get }

  /// - Parameter isFirst: true if the connection has brought nothing before.
  /// - Throws: `CommandError` for what cannot be read.
  mutating func take(_ event: ServerSentEvent, isFirst: Bool) throws -> StreamStep<Element>

  /// The stream says where it stands, with an id that no event belongs to.
  mutating func stands(at id: String)
}

extension StreamPlace {
  mutating func stands(at id: String) {}
}

enum StreamStep<Element: Sendable>: Sendable {
  case show(Element)
  /// Seen before, or of a kind that this version does not know.
  case passOver
  /// Something is missing: ask again.
  case askAgain(String)
  case complete
}

enum StreamNotice<Element: Sendable & Hashable>: Sendable, Hashable {
  case event(Element)
  /// The connection is gone; trying again. Said once for each interruption.
  case interrupted(String)
  case resumed
}

/// Follows a stream of events through a gateway that may go away and come back.
struct ResumedStream<Place: StreamPlace>: Sendable where Place.Element: Hashable {
  let gateway: GatewayClient
  /// From the gateway's last sign of life to giving up.
  var patience = Duration.seconds(60)

  private enum Ending { case complete, brokenOff(String) }

  /// Calls `report` with everything after `place`, each exactly once and in order; returns after the last one.
  /// Throws what the gateway refuses (an unknown mission), and status 69 after `patience` without the gateway.
  func follow(
    _ place: inout Place, _ report: (StreamNotice<Place.Element>) async throws -> Void
  ) async throws {
    var policy = ReconnectPolicy(now: .now, limit: patience)
    var interrupted = false
    var fruitless = 0
    while true {
      let reason: String
      let (began, known) = (ContinuousClock.now, place.progress)
      do {
        switch try await readOnce(&place, &policy, &interrupted, report) {
        case .complete: return
        case .brokenOff(let why): reason = why
        }
      } catch let error as CommandError where error.exit == .unavailable || error.exit == .tryAgain {
        reason = error.brief
      }
      // A gateway that answers at once, over and over, without anything new would keep us here for ever.
      fruitless = place.progress > known || began.duration(to: .now) > .seconds(5) ? 0 : fruitless + 1
      if fruitless > 50, policy.isAlive { throw CommandError.unexpected("the event stream keeps ending: \(reason)") }
      guard let pause = policy.failed(at: .now) else {
        throw CommandError(
          code: "UNAVAILABLE",
          message: "no contact for \(DurationText.spoken(patience)): \(reason); \(place.advice)", exit: .unavailable)
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
    _ place: inout Place, _ policy: inout ReconnectPolicy, _ interrupted: inout Bool,
    _ report: (StreamNotice<Place.Element>) async throws -> Void
  ) async throws -> Ending {
    var headers: HTTPHeaders = ["accept": "text/event-stream"]
    if let id = place.lastEventID { headers.add(name: "last-event-id", value: id) }
    let response = try await gateway.open(.GET, place.path, query: place.query, headers: headers, streaming: true)
    guard response.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true else {
      throw CommandError.unexpected("the gateway's answer is no event stream")
    }
    var parser = ServerSentEventParser()
    var isFirst = true
    var body = response.body.makeAsyncIterator()
    while let bytes = try await gateway.translated({ try await body.next() }) {
      policy.alive(at: .now)
      if interrupted {
        interrupted = false
        try await report(.resumed)
      }
      for event in try parse(&parser, bytes) {
        if event.type == "error" { throw GatewayFailure.told(Array(event.data.utf8)) ?? Self.nameless }
        switch try place.take(event, isFirst: isFirst) {
        case .show(let element): try await report(.event(element))
        case .passOver: break
        case .askAgain(let reason): return .brokenOff(reason)
        case .complete: return .complete
        }
        isFirst = false
      }
      place.stands(at: parser.lastID)
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

  private static var nameless: CommandError { .unexpected("the event stream ends with an error that it does not name") }
}
