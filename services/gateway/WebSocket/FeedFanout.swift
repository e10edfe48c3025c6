import NIOCore
import Synchronization

/// Sends one feed's events to all subscriptions of one event loop.
///
/// Those that are up to date stand together: an event's frame is built once for each subscription id, and every socket
/// gets the same buffer, one write and one flush for whatever came since the last turn. Who cannot take more falls
/// behind, alone: it reads on from the ring once its socket has room, and from the service what has left the ring.
///
/// `@unchecked Sendable`: it belongs to its event loop, which is asserted.
final class FeedFanout: @unchecked Sendable {
  let feed: EventFeed
  private let home: SocketLoop
  private let lease: EventFeeds.Lease
  /// Where the live ones are.
  private var cursor = FeedCursor(number: 0)
  private var live: [String: [SocketSubscription]] = [:]
  private var liveCount = 0
  /// Up to date, but elsewhere.
  private var waiting: [SocketSubscription] = []
  private var members = 0
  /// Sockets with something to flush.
  private var touched: [WebSocketHandler] = []

  init(_ lease: EventFeeds.Lease, on home: SocketLoop) {
    self.lease = lease
    self.home = home
    feed = lease.feed
  }

  // MARK: - Subscriptions

  func add(_ subscription: SocketSubscription) {
    home.loop.preconditionInEventLoop()
    members += 1
    subscription.fanout = self
    if subscription.cursor.isFromNow { subscription.cursor = feed.now }
    advance(subscription)
    flush()
  }

  /// Its socket has room again.
  func resume(_ subscription: SocketSubscription) {
    guard subscription.state == .stalled else { return }
    advance(subscription)
    flush()
  }

  /// It is told nothing more.
  func remove(_ subscription: SocketSubscription) {
    if subscription.state == .live { takeOut(subscription) }
    waiting.removeAll { $0 === subscription }
    subscription.fanout = nil
    members -= 1
    if members == 0 { home.remove(self) }
  }

  // MARK: - A turn

  /// Something came.
  func turn() {
    home.loop.preconditionInEventLoop()
    deliver()
    let others = waiting
    waiting = []
    for subscription in others where subscription.isOpen { advance(subscription) }
    flush()
  }

  /// Brings the live ones up to date.
  private func deliver() {
    while liveCount > 0 {
      switch feed.read(after: cursor, limit: FeedReader.pieceBytes) {
      case .events(let events, let more):
        let fallen = send(events, more: more)
        if let newest = events.last { cursor = FeedCursor(number: newest.number) }
        for subscription in fallen { advance(subscription) }
      case .upToDate:
        return
      case .missing, .ended, .failed:
        // Each finds out by itself what that means for it.
        for subscription in live.values.flatMap(\.self) {
          takeOut(subscription)
          advance(subscription)
        }
      }
    }
  }

  /// - Returns: Those that cannot take them now, or not all of them; they stay at the cursor.
  private func send(_ events: [FeedEvent], more: Int) -> [SocketSubscription] {
    var fallen: [SocketSubscription] = []
    for group in live.values {
      guard let frames = group.first?.form.frames(events) else { continue }
      for subscription in group {
        if let socket = subscription.socket, socket.isWritable, !subscription.mayCoalesce(events.count + more) {
          write(frames, to: socket)
        } else {
          fallen.append(subscription)
        }
      }
    }
    for subscription in fallen { takeOut(subscription) }
    return fallen
  }

  private func putIn(_ subscription: SocketSubscription) {
    if liveCount == 0 { cursor = subscription.cursor }
    subscription.state = .live
    subscription.index = live[subscription.id, default: []].count
    live[subscription.id, default: []].append(subscription)
    liveCount += 1
  }

  /// Out of the live ones, whose last takes its place.
  private func takeOut(_ subscription: SocketSubscription) {
    subscription.cursor = cursor
    subscription.state = .waiting
    liveCount -= 1
    guard let last = live[subscription.id]?.popLast() else { return }
    if last !== subscription {
      live[subscription.id]?[subscription.index] = last
      last.index = subscription.index
    }
    if live[subscription.id]?.isEmpty == true { live[subscription.id] = nil }
  }

  private func write(_ bytes: ByteBuffer, to socket: WebSocketHandler) {
    if socket.write(bytes) { touched.append(socket) }
  }

  private func flush() {
    let sockets = touched
    touched = []
    for socket in sockets { socket.flush() }
  }

  // MARK: - One by one

  /// Sends `subscription` what it lacks, as far as its socket takes it and it is at hand.
  private func advance(_ subscription: SocketSubscription) {
    var hasLooked = false
    while subscription.isOpen, let socket = subscription.socket {
      guard socket.isWritable else {
        subscription.wasStalled = true
        return subscription.state = .stalled
      }
      if !subscription.backlog.isEmpty {
        write(subscription.form.frames(subscription.nextOfBacklog()), to: socket)
        continue
      }
      if subscription.endsAfterBacklog { return end(subscription, last: subscription.cursor.number) }
      switch feed.read(after: subscription.cursor, limit: FeedReader.pieceBytes) {
      case .events(let events, let more):
        subscription.take(events)
        write(subscription.form.frames(subscription.coalesced(events, more: more)), to: socket)
        hasLooked = false
      case .upToDate:
        if settle(subscription, hasLooked: hasLooked) { return }
        hasLooked = true
      case .missing(let base):
        guard let base, subscription.mayHaveGap else { return fetch(subscription) }
        subscription.cursor = FeedCursor(number: base)
        write(SocketAnswer.gap(subscription.id, resumeAfter: base), to: socket)
      case .ended(let last):
        return end(subscription, last: last)
      case .failed(let failure):
        return fail(subscription, failure)
      }
    }
  }

  /// There is nothing to read: the subscription joins the live ones, or waits if they are not where it is.
  /// - Returns: False if they had to be brought up to date first, so that it has to look again.
  private func settle(_ subscription: SocketSubscription, hasLooked: Bool) -> Bool {
    if liveCount > 0, cursor != subscription.cursor, !hasLooked {
      deliver()
      return false
    }
    subscription.wasStalled = false
    if liveCount == 0 || cursor == subscription.cursor {
      putIn(subscription)
    } else {
      subscription.state = .waiting
      waiting.append(subscription)
    }
    return true
  }

  private func fetch(_ subscription: SocketSubscription) {
    subscription.state = .fetching
    let number = subscription.cursor.number
    subscription.task = Task { [feed, home, pages = subscription.pages] in
      var pages = pages
      let result: Result<FeedSource.Page, any Error>
      do { result = .success(try await pages.next(of: feed, after: number)) } catch { result = .failure(error) }
      home.loop.execute { [pages] in
        subscription.pages = pages
        self.fetched(result, subscription)
      }
    }
  }

  private func fetched(_ result: Result<FeedSource.Page, any Error>, _ subscription: SocketSubscription) {
    guard subscription.state == .fetching else { return }
    subscription.task = nil
    subscription.state = .waiting
    switch result {
    case .success(let page):
      subscription.take(page)
      advance(subscription)
      flush()
    case .failure(let error): refuse(subscription, error)
    }
  }

  private func end(_ subscription: SocketSubscription, last: UInt64) {
    guard let socket = subscription.socket else { return }
    write(SocketAnswer.end(subscription.id, last: last), to: socket)
    socket.forget(subscription)
  }

  private func fail(_ subscription: SocketSubscription, _ failure: FeedFailure) {
    guard !failure.concerns(subscription.cursor) else { return refuse(subscription, failure.failure) }
    remove(subscription)
    home.join(subscription)
  }

  /// Tells the client why it gets nothing more.
  private func refuse(_ subscription: SocketSubscription, _ error: any Error) {
    subscription.state = .fetching
    subscription.task = Task { [source = feed.source, loop = home.loop] in
      var error = error
      if let failure = error as? UpstreamFailure { error = await source.error(for: failure) }
      loop.execute { [error] in subscription.socket?.refuse(subscription, error) }
    }
  }
}

/// Turns a feed's changes, which come from any thread, into turns of a loop: one for all that came meanwhile.
///
/// `@unchecked Sendable`: `fanout` is touched on the loop only.
final class FanoutSignal: FeedObserver, @unchecked Sendable {
  private let loop: any EventLoop
  private let isScheduled = Atomic<Bool>(false)
  weak var fanout: FeedFanout?

  init(loop: any EventLoop) {
    self.loop = loop
  }

  func feedChanged() {
    guard !isScheduled.exchange(true, ordering: .acquiringAndReleasing) else { return }
    loop.execute {
      self.isScheduled.store(false, ordering: .releasing)
      self.fanout?.turn()
    }
  }
}
