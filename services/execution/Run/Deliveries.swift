import Logging
import Messages
import RPC
import Storage
import Stubs

/// Brings what missions caused to the services it concerns, in order and as often as it takes.
struct Deliveries: Sendable {
  let database: Database
  let peers: Peers
  let logger: Logger

  /// One endless task for each topic; they end by cancellation.
  var relays: [@Sendable () async throws -> Void] {
    [
      relay(MissionStore.Topic.progress) { rows in
        let events = try rows.map { try ProgressEvent(stored: $0.payload) }
        _ = try await peers.progress.record(RecordEventsRequest(events: events), .timeout(peers.callTimeout))
      },
      relay(MissionStore.Topic.investment) { rows in
        for row in rows {
          let request = try ReleaseRequest(stored: row.payload)
          _ = try await peers.investment.release(request, .timeout(peers.callTimeout))
        }
      },
      relay(MissionStore.Topic.learning) { rows in
        for row in rows {
          let request = try RecordOutcomeRequest(stored: row.payload)
          _ = try await peers.learning.recordOutcome(request, .timeout(peers.callTimeout))
        }
      },
    ]
  }

  private func relay(
    _ topic: String, deliver: @escaping @Sendable ([OutboxRow]) async throws -> Void
  ) -> @Sendable () async throws -> Void {
    let relay = OutboxRelay(database, topic: topic, logger: logger, deliver: deliver)
    return { await relay.run() }
  }
}
