import NIOCore

/// Takes one call of a client through its limits before it is sent, and gives its places back when it is over, however
/// it ends. It enters one limit after the other: one that waits for the second holds a place in the first, but never
/// the other way round, so no two calls wait for each other.
///
/// `@unchecked Sendable`: only touched on the channel's loop, but for `turnCame`.
final class CallAdmission: @unchecked Sendable {
  private let limits: [ConcurrencyLimit]
  private let channel: ClientChannel
  /// Held, all but the last while that is waited for.
  private var places: [ConcurrencyLimit.Place] = []
  /// Until it is sent or over.
  private var call: ClientCall?

  init(_ limits: [ConcurrencyLimit], _ channel: ClientChannel) {
    self.limits = limits
    self.channel = channel
  }

  /// The call has arrived at its loop.
  func begin(_ call: ClientCall) {
    guard !call.isOver else { return }
    guard !channel.isClosed else { return call.finish(ClientChannel.closedStatus) }
    self.call = call
    proceed()
  }

  private func proceed() {
    guard let call else { return }
    while places.count < limits.count {
      switch limits[places.count].enter(call.path, self) {
      case .enters(let place): places.append(place)
      case .waits(let place):
        places.append(place)
        channel.held[ObjectIdentifier(self)] = self
        return
      case .isRefused(let status): return call.finish(status)
      }
    }
    letGo()
    if let attempts = call.attempts { attempts.begin() } else { channel.start(call) }
  }

  /// The place that is waited for is held now. From any thread, and from within the end of another call.
  func turnCame() { channel.loop.execute { self.proceed() } }

  /// The client was closed.
  func close() { call?.finish(ClientChannel.closedStatus) }

  /// The call is over.
  func end() {
    letGo()
    let held = places
    places = []
    for place in held.reversed() { place.leave() }
  }

  private func letGo() {
    call = nil
    channel.held[ObjectIdentifier(self)] = nil
  }
}
