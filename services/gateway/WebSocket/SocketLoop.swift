import NIOCore

/// What the WebSockets of one event loop share: a fanout for each feed that one of them watches.
///
/// `@unchecked Sendable`: its state belongs to its event loop, which is asserted.
final class SocketLoop: @unchecked Sendable {
  let loop: any EventLoop
  private unowned let sockets: WebSockets
  private var fanouts: [FeedKey: FeedFanout] = [:]

  init(loop: any EventLoop, sockets: WebSockets) {
    self.loop = loop
    self.sockets = sockets
  }

  /// Asks whether there is what `subscription` wants to watch, and begins to watch it. The outcome goes to its socket.
  func open(_ subscription: SocketSubscription) {
    loop.preconditionInEventLoop()
    subscription.task = Task { [sockets, loop] in
      do {
        let lease = try await Self.prepare(subscription.request, sockets)
        let pruned = try await lease.feed.source.prunedThrough(after: subscription.request.start)
        loop.execute {
          withExtendedLifetime(lease) { self.begin(subscription, pruned: pruned) }
        }
      } catch {
        loop.execute { subscription.socket?.refuse(subscription, error) }
      }
    }
  }

  /// A hold of the feed, so that it does not end before the subscription has its own.
  private static func prepare(_ request: SocketSubscribe, _ sockets: WebSockets) async throws -> EventFeeds.Lease {
    if case .mission(let id) = request.key, !sockets.feeds.hasEvents(of: request.key) {
      try await sockets.upstreams.requireMission(id)
    }
    let start = request.start.isFromNow ? nil : request.start.number
    let lease = try sockets.feeds.lease(request.key, start: start, observer: FeedSignal())
    // What happens after the answer has to be in the feed.
    if request.start.isFromNow { try await lease.feed.waitUntilEstablished(within: .seconds(1)) }
    return lease
  }

  private func begin(_ subscription: SocketSubscription, pruned: UInt64?) {
    guard subscription.isOpen, let socket = subscription.socket else { return }
    subscription.task = nil
    socket.opened(subscription)
    if let pruned { socket.notKept(subscription, through: pruned) }
    join(subscription)
  }

  /// Lets `subscription` take part in its feed, from its cursor on.
  func join(_ subscription: SocketSubscription) {
    do {
      let fanout = try fanout(of: subscription.request.key, start: subscription.cursor)
      fanout.add(subscription)
    } catch {
      subscription.socket?.refuse(subscription, error)
    }
  }

  private func fanout(of key: FeedKey, start: FeedCursor) throws -> FeedFanout {
    if let known = fanouts[key], !known.feed.hasFailed { return known }
    let signal = FanoutSignal(loop: loop)
    let lease = try sockets.feeds.lease(key, start: start.isFromNow ? nil : start.number, observer: signal)
    let new = FeedFanout(lease, on: self)
    signal.fanout = new
    fanouts[key] = new
    return new
  }

  /// Nobody of this loop watches the feed any more.
  func remove(_ fanout: FeedFanout) {
    if fanouts[fanout.feed.key] === fanout { fanouts[fanout.feed.key] = nil }
  }
}
