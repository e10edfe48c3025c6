import Logging
public import Messages
import RPC
public import ServiceKit
public import Storage
import Stubs

/// Delivers messages of a topic to an inbox over a real call, one after the other, and gives the receipts.
///
/// - Parameter ids: the messages' ids; each gets one of its own where there are none.
public func deliver(
  _ messages: [some ProtobufMessage], topic: String, ids: [String] = [], to topics: [InboxTopic],
  of database: Database
) async throws -> [DeliveryReceipt] {
  var router = Router()
  router.register(InboxService(database: database, topics: topics, logger: Logger(label: "test")))
  let server = Server(router: router)
  let port = try await server.start(host: "127.0.0.1", port: 0).port
  let deliveries = try messages.enumerated().map { index, message in
    Delivery(
      id: ids.isEmpty ? Identifier.make() : ids[index], topic: topic, key: "k", payload: try message.bytes())
  }
  let client = InboxClient(Client(host: "127.0.0.1", port: port))
  let receipts = try await client.deliver(.timeout(.seconds(60))) { requests, receipts in
    for delivery in deliveries { try await requests.write(delivery) }
    requests.finish()
    var all: [DeliveryReceipt] = []
    for try await receipt in receipts { all.append(receipt) }
    return all
  }
  await server.shutdown(grace: .seconds(10))
  return receipts
}
