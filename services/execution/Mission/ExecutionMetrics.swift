import Messages
import ServiceKit

/// What the execution service tells about its missions and its outbox when it is scraped.
struct ExecutionMetrics: Sendable {
  let store: MissionStore
  let runner: MissionRunner

  func register(in metrics: MetricsRegistry) {
    metrics.collect("missions", every: MetricsRegistry.tableInterval) {
      let counts = try await store.countByState()
      // What is approved waits for somebody to run it.
      return Self.samples(counts) + [MetricSample(BuddySeries.missionsQueued, Double(counts[.approved] ?? 0))]
    }
    // Which of what is RUNNING runs here, only the runner knows.
    metrics.collect("running") { [runner] in
      [MetricSample(BuddySeries.missionsRunning, Double(runner.runningCount))]
    }
    metrics.watchOutbox(of: store.database, topics: Deliveries.destinations.flatMap(\.topics))
  }

  /// Every state has its series, so that one which nothing is in shows 0.
  static func samples(_ counts: [MissionState: Int]) -> [MetricSample] {
    MissionState.allKnown.filter { $0 != .unspecified }.map { state in
      MetricSample(BuddySeries.missions, Double(counts[state] ?? 0), ["state": state.label.lowercased()])
    }
  }
}
