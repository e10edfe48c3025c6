import Foundation
import NIOHTTP1

/// How the gateway and the services behind it are.
struct GatewayHealth: Decodable, Sendable, Hashable {
  struct Service: Decodable, Sendable, Hashable {
    /// `SERVING`, `NOT_SERVING` or `UNREACHABLE`.
    let status: String
  }

  let status: String
  let services: [String: Service]

  var isServing: Bool { failing.isEmpty }

  /// Names of the services that do not serve, sorted.
  var failing: [String] { services.filter { $0.value.status != "SERVING" }.keys.sorted() }
}

extension GatewayClient {
  func health() async throws -> (health: GatewayHealth, json: String) {
    let bytes = try await bytes(.GET, ["health"])
    guard let health = try? JSONDecoder().decode(GatewayHealth.self, from: Data(bytes)) else {
      throw CommandError.unexpected("the answer of \(address) is no health report; is that a Buddy gateway?")
    }
    return (health, String(decoding: bytes, as: UTF8.self))
  }
}
