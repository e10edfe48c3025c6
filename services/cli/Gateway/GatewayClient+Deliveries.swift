import Foundation
import Messages
import NIOHTTP1

/// The deliveries between services that were refused.
struct RefusedList: Decodable, Sendable {
  struct Service: Decodable, Sendable {
    let service: String
    let deliveries: [Refused]?
    let nextPageToken: String?
    let error: Failure?
  }

  struct Failure: Decodable, Sendable {
    let code: String
    let message: String
  }

  struct Refused: Decodable, Sendable {
    let id: String
    let topic: String
    let key: String
    let refusedAt: String?
    let reason: String
  }

  let services: [Service]
}

extension GatewayClient {
  /// The oldest refused deliveries of every service, up to `limit` of each.
  func refusedDeliveries(limit: Int) async throws -> (list: RefusedList, json: String) {
    let bytes = try await bytes(.GET, ["deliveries", "refused"], query: [("page_size", String(limit))])
    guard let list = try? JSONDecoder().decode(RefusedList.self, from: Data(bytes)) else {
      throw CommandError.unexpected("the answer of \(address) is no list of deliveries; is that a Buddy gateway?")
    }
    return (list, String(decoding: bytes, as: UTF8.self))
  }

  func retryDelivery(_ service: String, _ id: String) async throws -> RefusedDelivery {
    try await call(.POST, ["deliveries", "refused", service, id, "retry"])
  }

  func dropDelivery(_ service: String, _ id: String) async throws -> RefusedDelivery {
    try await call(.DELETE, ["deliveries", "refused", service, id])
  }
}
