import NIOCore

/// One subscription of one WebSocket: a cursor into a feed, and what of the past it is sending.
///
/// `@unchecked Sendable`: it belongs to its connection's event loop, and is touched there only; tasks carry it back.
final class SocketSubscription: @unchecked Sendable {
  enum State {
    /// Up to date, and sent to together with the others of its feed on this loop.
    case live
    /// Up to date, but not where the others are.
    case waiting
    /// Its socket takes no more for now.
    case stalled
    /// A page of the past is on its way.
    case fetching
    case closed
  }

  let request: SocketSubscribe
  let form: SocketEventForm
  /// Nil once the connection is gone.
  weak var socket: WebSocketHandler?
  /// Nil until it is open.
  var fanout: FeedFanout?
  var state = State.waiting
  /// What it has been sent; while it is live the fanout's cursor counts.
  var cursor: FeedCursor
  /// Its socket took no more since it was up to date: what it misses it misses by being slow itself.
  var wasStalled = false
  /// Its place among the live ones.
  var index = 0
  /// What is left of a page of the past.
  var backlog: ArraySlice<FeedEvent> = []
  /// The mission has ended with the page.
  var endsAfterBacklog = false
  var pages = FeedPages()
  /// Opens it, or fetches a page.
  var task: Task<Void, Never>?

  init(_ request: SocketSubscribe, socket: WebSocketHandler) {
    self.request = request
    self.socket = socket
    form = SocketEventForm(id: request.id, isOfAll: request.key.isOfAll)
    cursor = request.start
  }

  var id: String { request.id }
  var isOpen: Bool { state != .closed }

  /// Of all missions' events a slow watcher gets a gap where others catch up, and so does one without a number to catch
  /// up from.
  var mayHaveGap: Bool { request.key.isOfAll && (wasStalled || cursor.isFromNow) }

  /// True where it asked that events be left out when so many wait for it.
  func mayCoalesce(_ count: Int) -> Bool {
    request.coalesceAfter > 0 && count > Int(request.coalesceAfter)
  }

  // MARK: - What it takes

  func take(_ events: [FeedEvent]) {
    if let newest = events.last { cursor = FeedCursor(number: newest.number) }
  }

  func take(_ page: FeedSource.Page) {
    cursor = FeedCursor(number: page.position)
    backlog = coalesced(page.events, more: 0)[...]
    endsAfterBacklog = page.isComplete
  }

  /// Without what it asked to be spared.
  func coalesced(_ events: [FeedEvent], more: Int) -> [FeedEvent] {
    // What was encoded once can be encoded again.
    (try? events.coalesced(after: request.coalesceAfter, more: more)) ?? events
  }

  /// The next piece of its backlog.
  func nextOfBacklog() -> [FeedEvent] {
    var size = 0
    let piece = backlog.prefix { event in
      defer { size += event.json.readableBytes }
      return size < FeedReader.pieceBytes
    }
    backlog = backlog.dropFirst(piece.count)
    return Array(piece)
  }
}
