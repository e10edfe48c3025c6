/// How a client's calls are spread over the addresses of its target.
public enum LoadBalancing: Sendable, Hashable {
  /// All calls go to the first address that can be connected to, until that connection is lost.
  case pickFirst
  /// Every address is connected to; calls take turns among those that are ready.
  case roundRobin
}

/// Decides which addresses are connected to, and when. Pure: it is told what happened, the time in nanoseconds and the
/// dice, and says what is to be done; the channel does it.
protocol Balancer: Sendable {
  var state: Connectivity { get }
  /// Why the last attempt failed.
  var lastError: String { get }

  /// A call waits, or the client was asked to connect. Does nothing unless idle.
  mutating func connect(now: Int64) -> [BalancerAction]
  /// The target's addresses, for the first time or again. Not empty.
  mutating func resolved(_ addresses: [ServerAddress], now: Int64) -> [BalancerAction]
  /// The name has no addresses, or nobody could say which.
  mutating func resolutionFailed(_ reason: String, now: Int64, spread: Double) -> [BalancerAction]

  mutating func connected(_ address: ServerAddress, now: Int64) -> [BalancerAction]
  mutating func failed(_ address: ServerAddress, _ reason: String, now: Int64, spread: Double) -> [BalancerAction]
  /// An address's last connection is gone, or takes no more calls.
  mutating func lost(
    _ address: ServerAddress, _ wasUseful: Bool, now: Int64, spread: Double
  ) -> [BalancerAction]
  /// What `.wake` asked for.
  mutating func woke(_ address: ServerAddress?, now: Int64) -> [BalancerAction]
  /// Nothing was called for long: the channel closes all connections.
  mutating func stop()
}

enum BalancerAction: Equatable {
  /// Make a connection: begin after a while, and give up after another (both in nanoseconds).
  case connect(ServerAddress, after: Int64, timeout: Int64)
  /// Start no more calls there, and give up connecting; calls under way go on.
  case drop(ServerAddress)
  /// Call `woke` after so many nanoseconds.
  case wake(ServerAddress?, after: Int64)
  /// Find out the target's addresses, if that is not too soon.
  case resolve
}
