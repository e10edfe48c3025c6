import Foundation
import Logging
import Messages
import RPC
import ServiceKit
import ServiceTestSupport
import Storage
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Takes everything, and keeps it.
private final class RecordingInbox: InboxHandler {
  private let taken = Mutex<[Delivery]>([])
  var all: [Delivery] { taken.withLock { $0 } }

  func deliver(
    _ requests: RequestStream<Delivery>, _ responses: ResponseWriter<DeliveryReceipt>, _ context: ServerContext
  ) async throws {
    for try await delivery in requests {
      taken.withLock { $0.append(delivery) }
      try await responses.write(DeliveryReceipt(id: delivery.id, outcome: .taken))
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct DeliveriesTests {
  @Test(arguments: TestEngine.allCases) func eachServiceGetsWhatConcernsIt(_ engine: TestEngine) async throws {
    let place = try await TestStore(engine)
    let store = MissionStore(database: try await place.open(migrations))
    let names: [ServiceName] = [.progress, .investment, .learning]
    var (inboxes, clients, servers) = ([ServiceName: RecordingInbox](), [ServiceName: Client](), [Server]())
    for name in names {
      let inbox = RecordingInbox()
      var router = Router()
      router.register(inbox)
      let server = Server(router: router)
      clients[name] = Client(host: "127.0.0.1", port: try await server.start(host: "127.0.0.1", port: 0).port)
      inboxes[name] = inbox
      servers.append(server)
    }
    let nobody = Client(host: "127.0.0.1", port: 1)
    let deliveries = Deliveries(database: store.database, logger: Logger(label: "test")) { [clients] in
      clients[$0] ?? nobody
    }
    let tasks = deliveries.relays.map { relay in Task { try await relay() } }

    let rules = SubmissionRules(
      toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)
    let request = SubmitMissionRequest(objective: "1 + 1")
    let (mission, effects) = try rules.mission(from: request, now: Date())
    let all: [Effect] =
      effects + [
        .releaseReservation, .settleReservation(SettleRequest(id: mission.id)), .releaseReservation,
        .recordOutcome(RecordOutcomeRequest(missionId: mission.id)),
      ]
    _ = try await store.insert(mission, effects: all, from: request)
    try await eventually("everything is delivered") {
      try await store.database.read { try Outbox.statistics(in: $0) }.isEmpty
    }
    #expect(inboxes[.progress]?.all.map(\.topic) == ["events"])
    #expect(inboxes[.investment]?.all.map(\.topic) == ["investment", "settlement", "investment"])
    #expect(inboxes[.learning]?.all.map(\.topic) == ["learning"])
    for inbox in inboxes.values { #expect(inbox.all.allSatisfy { $0.key == mission.id }) }
    let events = try inboxes[.progress]?.all.flatMap { try RecordEventsRequest(wire: $0.payload).events }
    #expect(events?.map(\.sequence) == [1, 2])

    for task in tasks { task.cancel() }
    for task in tasks { try await task.value }
    for server in servers { await server.shutdown(grace: .zero) }
    await store.database.close()
  }
}
