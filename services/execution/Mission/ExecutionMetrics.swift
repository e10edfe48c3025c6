import Messages
import ServiceKit

/// What the execution service tells about its missions and its outbox when it is scraped.
struct ExecutionMetrics: Sendable {
  let store: MissionStore
  let runner: MissionRunner
  /// The names of all tools.
  let tools: [String]

  func register(in metrics: MetricsRegistry) {
    metrics.collect("missions", every: MetricsRegistry.tableInterval) {
      let waiting = try await store.countWaiting()
      return Self.samples(try await store.countByState()) + [MetricSample(BuddySeries.missionsQueued, Double(waiting))]
    }
    // Which of what is RUNNING runs here, only the runner knows.
    metrics.collect("running") { [runner, tools] in
      [MetricSample(BuddySeries.missionsRunning, Double(runner.runningCount))]
        + tools.flatMap { tool in
          let places = runner.terms.places
          return [
            MetricSample(BuddySeries.toolCallsRunning, Double(places.running(tool)), ["tool": tool]),
            MetricSample(BuddySeries.toolCallsLimit, Double(places.limit(of: tool)), ["tool": tool]),
          ]
        }
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
