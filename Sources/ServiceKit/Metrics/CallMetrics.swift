import RPC
import RPCTelemetry
import Synchronization

/// What RPCTelemetry measures of calls, under Buddy's names and labels and in the buckets that the registry declares.
extension CallMetrics {
  /// Every call that is answered here.
  /// - Parameter methods: The paths of all methods that are served.
  static func server(_ metrics: MetricsRegistry, methods: [String]) -> CallMetrics {
    metrics.declare(BuddySeries.rpcServer)
    let series = Series(BuddySeries.rpcServer.name, code: "code") { [("service", $0), ("method", $1)] }
    return CallMetrics(series, methods: methods, factory: metrics)
  }
}

/// Measures every call of other services. All clients of one service share its histograms.
final class ClientMetrics: Sendable {
  private let metrics: MetricsRegistry
  private let byPeer = Mutex<[ServiceName: CallMetrics]>([:])

  init(_ metrics: MetricsRegistry) {
    self.metrics = metrics
    metrics.declare(BuddySeries.rpcClient)
  }

  func interceptor(_ peer: ServiceName) -> CallMetrics {
    byPeer.withLock { known in
      if let known = known[peer] { return known }
      let series = CallMetrics.Series(BuddySeries.rpcClient.name, code: "code") { _, method in
        [("peer", peer.rawValue), ("method", method)]
      }
      let made = CallMetrics(series, factory: metrics)
      known[peer] = made
      return made
    }
  }
}
