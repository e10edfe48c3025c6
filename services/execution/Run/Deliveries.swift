import Logging
import RPC
import ServiceKit
import Storage

/// Brings what missions caused to the services it concerns, in order and as often as it takes.
struct Deliveries: Sendable {
  /// Which service takes the messages of which topics.
  static let destinations: [(service: ServiceName, topics: [String])] = [
    (.progress, [MissionStore.Topic.progress, MissionStore.Topic.events]),
    (.investment, [MissionStore.Topic.investment, MissionStore.Topic.settlement]),
    (.learning, [MissionStore.Topic.learning]),
  ]

  let database: Database
  let logger: Logger
  let client: @Sendable (ServiceName) -> Client

  /// One endless task for each receiver; they end by cancellation.
  var relays: [@Sendable () async throws -> Void] {
    Self.destinations.map { service, topics in
      OutboxRelay(
        database, destination: service.rawValue, topics: topics, transport: InboxTransport(client(service)),
        logger: logger
      ).run
    }
  }
}
