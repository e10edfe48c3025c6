import AsyncHTTPClient
import Foundation
import Messages
import NIOHTTP1

extension GatewayClient {
  /// Submits a mission. Safe to repeat: one key makes one mission. Tries again, four times in all, where the connection
  /// breaks or the gateway says that a service behind it is away for the moment.
  func submit(_ request: SubmitMissionRequest, idempotencyKey: String) async throws -> Mission {
    let body = try WireJSON.encode(request)
    var pause = Duration.milliseconds(200)
    for _ in 0..<3 {
      do {
        return try await submitOnce(body, idempotencyKey)
      } catch let error as CommandError where error.code == "UNAVAILABLE" {
        try await Task.sleep(for: pause)
        pause *= 2
      }
    }
    return try await submitOnce(body, idempotencyKey)
  }

  private func submitOnce(_ body: String, _ key: String) async throws -> Mission {
    var headers = Self.jsonHeaders
    headers.add(name: "idempotency-key", value: key)
    return try await call(.POST, ["missions"], headers: headers, body: .bytes(Array(body.utf8)))
  }

  func mission(_ id: String) async throws -> Mission { try await call(.GET, ["missions", id]) }

  /// Newest first, at most `limit` of them, however many pages that takes.
  func missions(states: [MissionState], limit: Int) async throws -> [Mission] {
    var (missions, token) = ([Mission](), "")
    repeat {
      var query = states.map { ("state", $0.label) }
      query.append(("page_size", String(min(1000, limit - missions.count))))
      if !token.isEmpty { query.append(("page_token", token)) }
      let page = try await call(.GET, ["missions"], query: query, as: ListMissionsResponse.self)
      missions += page.missions
      token = page.missions.isEmpty ? "" : page.nextPageToken
    } while missions.count < limit && !token.isEmpty
    return Array(missions.prefix(limit))
  }

  func approve(_ id: String) async throws -> Mission {
    try await act(id, "approve", ApproveMissionRequest())
  }

  func reject(_ id: String, reason: String) async throws -> Mission {
    try await act(id, "reject", RejectMissionRequest(reason: reason))
  }

  func cancel(_ id: String, reason: String) async throws -> Mission {
    try await act(id, "cancel", CancelMissionRequest(reason: reason))
  }

  private func act(_ id: String, _ verb: String, _ request: some ProtobufMessage) async throws -> Mission {
    let body = HTTPClientRequest.Body.bytes(Array(try WireJSON.encode(request).utf8))
    return try await call(.POST, ["missions", id, verb], headers: Self.jsonHeaders, body: body)
  }

  func snapshot(_ id: String) async throws -> ProgressSnapshot { try await call(.GET, ["missions", id, "progress"]) }

  /// What a person thinks of a mission. A score of 0 must be sent, and proto3's JSON leaves zeros out: so not by it.
  func giveFeedback(_ id: String, _ opinion: Opinion) async throws -> Feedback {
    let body = HTTPClientRequest.Body.bytes(try JSONEncoder().encode(opinion))
    return try await call(.POST, ["missions", id, "feedback"], headers: Self.jsonHeaders, body: body)
  }

  struct Opinion: Encodable, Hashable {
    /// 0 (useless) to 1 (perfect).
    var score: Double
    var comment: String?
    var correction: String?
  }

  static var jsonHeaders: HTTPHeaders { ["content-type": "application/json"] }
}
