import Metrics
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
  /// Shows how many messages of each topic wait in a database's outbox and for how long.
  ///
  /// - Parameters:
  ///   - topics: Shown also while nothing of them waits.
  ///   - refused: Topics under which messages are set aside, each with the topic they came from.
  public func watchOutbox(of database: Database, topics: [String], refused: [String: String]) {
    declare(BuddySeries.outboxWaiting, BuddySeries.outboxLag, BuddySeries.outboxRefused)
    collect("outbox") {
      let rows = try await database.read { connection in
        try connection.rows("SELECT topic, count(*) AS n, min(created_us) AS oldest_us FROM outbox GROUP BY topic")
          .map { (topic: try $0.text("topic"), count: try $0.int("n"), oldest: try $0.date("oldest_us")) }
      }
      let byTopic = Dictionary(uniqueKeysWithValues: rows.map { ($0.topic, $0) })
      let now = Date()
      let waiting = topics.flatMap { topic in
        let lag = byTopic[topic].map { max(0, now.timeIntervalSince($0.oldest)) } ?? 0
        return [
          MetricSample(BuddySeries.outboxWaiting, Double(byTopic[topic]?.count ?? 0), ["topic": topic]),
          MetricSample(BuddySeries.outboxLag, lag, ["topic": topic]),
        ]
      }
      return waiting + refused.map { aside, topic in
        MetricSample(BuddySeries.outboxRefused, Double(byTopic[aside]?.count ?? 0), ["topic": topic])
      }
    }
  }
}
