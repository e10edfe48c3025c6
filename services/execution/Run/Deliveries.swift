import Logging
import Messages
import RPC
import Storage
import Stubs

/// Brings what missions caused to the services it concerns, in order and as often as it takes.
struct Deliveries: Sendable {
  /// How many events go in one call: with the longest messages they stay below what a call may carry.
  static let eventsPerCall = 100

  let database: Database
  let peers: Peers
  let logger: Logger

  /// One endless task for each topic; they end by cancellation.
  var relays: [@Sendable () async throws -> Void] {
    [
      relay(MissionStore.Topic.progress, batch: Self.eventsPerCall, deliver: deliverEvents),
      relay(MissionStore.Topic.investment) { row in
        _ = try await peers.investment.release(ReleaseRequest(stored: row.payload), .timeout(peers.callTimeout))
      },
      relay(MissionStore.Topic.settlement) { row in
        do {
          _ = try await peers.investment.settle(SettleRequest(stored: row.payload), .timeout(peers.callTimeout))
        } catch let status as Status where [.notFound, .failedPrecondition].contains(status.code) {
          // The mission went on without a reservation: there is nothing to settle.
        }
      },
      relay(MissionStore.Topic.learning) { row in
        _ = try await peers.learning.recordOutcome(
          RecordOutcomeRequest(stored: row.payload), .timeout(peers.callTimeout))
      },
    ]
  }

  /// Events that the progress service refuses for good (it has lost what came before them) must not hold up those of
  /// other missions: they are set aside in the outbox under a topic of their own.
  private func deliverEvents(_ rows: [OutboxRow]) async throws {
    do {
      try await record(rows)
    } catch let status as Status where Self.isFinal(status) {
      for (mission, rows) in Dictionary(grouping: rows, by: \.key) {
        do {
          try await record(rows)
        } catch let status as Status where Self.isFinal(status) {
          logger.error(
            "events of a mission were refused and set aside", metadata: ["mission": "\(mission)", "error": "\(status)"])
          try await setAside(rows)
        }
      }
    }
  }

  private func record(_ rows: [OutboxRow]) async throws {
    let events = try rows.map { try ProgressEvent(stored: $0.payload) }
    _ = try await peers.progress.record(RecordEventsRequest(events: events), .timeout(peers.callTimeout))
  }

  private func setAside(_ rows: [OutboxRow]) async throws {
    try await database.write { connection in
      for row in rows {
        try Outbox.add(
          topic: MissionStore.Topic.refusedProgress, key: row.key, payload: row.payload, in: connection)
      }
    }
  }

  private static func isFinal(_ status: Status) -> Bool {
    [.failedPrecondition, .invalidArgument, .outOfRange].contains(status.code)
  }

  private func relay(
    _ topic: String, batch: Int, deliver: @escaping @Sendable ([OutboxRow]) async throws -> Void
  ) -> @Sendable () async throws -> Void {
    let relay = OutboxRelay(database, topic: topic, batch: batch, logger: logger, deliver: deliver)
    return { await relay.run() }
  }

  private func relay(
    _ topic: String, deliver: @escaping @Sendable (OutboxRow) async throws -> Void
  ) -> @Sendable () async throws -> Void {
    relay(topic, batch: Self.eventsPerCall) { rows in
      for row in rows { try await deliver(row) }
    }
  }
}
