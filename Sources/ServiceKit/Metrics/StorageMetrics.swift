import CoreMetrics
import Foundation
public import Storage

/// What a service's database does.
struct StorageMetrics {
  let metrics: MetricsRegistry

  /// Those of the standard, with each committed transaction recorded.
  var options: DatabaseOptions {
    var options = DatabaseOptions()
    let batches = metrics.recorder(BuddySeries.batchSize)
    options.onCommit = { batches.record($0) }
    return options
  }

  func watch(_ database: Database) {
    metrics.declare(BuddySeries.commits, BuddySeries.writes, BuddySeries.waitingWrites)
    metrics.collect("storage") {
      let statistics = database.statistics
      return [
        MetricSample(BuddySeries.commits, Double(statistics.commits)),
        MetricSample(BuddySeries.writes, Double(statistics.writes)),
        MetricSample(BuddySeries.waitingWrites, Double(statistics.waitingWrites)),
      ]
    }
  }
}

extension MetricsRegistry {
  /// Shows how many messages of each topic wait in a database's outbox, for how long, and how many were refused.
  ///
  /// - Parameter topics: Shown also while there is no message of them.
  public func watchOutbox(of database: Database, topics: [String]) {
    declare(BuddySeries.outboxWaiting, BuddySeries.outboxLag, BuddySeries.outboxRefused)
    collect("outbox") {
      let found = try await database.read { try Outbox.statistics(in: $0) }
      let byTopic = Dictionary(uniqueKeysWithValues: found.map { ($0.topic, $0) })
      let now = Date()
      return Set(topics).union(byTopic.keys).sorted().flatMap { topic in
        let lag = byTopic[topic]?.oldest.map { max(0, now.timeIntervalSince($0)) } ?? 0
        return [
          MetricSample(BuddySeries.outboxWaiting, Double(byTopic[topic]?.waiting ?? 0), ["topic": topic]),
          MetricSample(BuddySeries.outboxLag, lag, ["topic": topic]),
          MetricSample(BuddySeries.outboxRefused, Double(byTopic[topic]?.refused ?? 0), ["topic": topic]),
        ]
      }
    }
  }
}
