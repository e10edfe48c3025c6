import AsyncHTTPClient
import Foundation
import Messages
import NIOHTTP1

extension GatewayClient {
  /// Submits a mission. Safe to repeat: one key makes one mission.
  func submit(_ request: SubmitMissionRequest, idempotencyKey: String) async throws -> Mission {
    let body = try WireJSON.encode(request)
    var headers = Self.jsonHeaders
    headers.add(name: "idempotency-key", value: idempotencyKey)
    return try await insisting { [headers] in
      try await call(.POST, ["missions"], headers: headers, body: .bytes(Array(body.utf8)))
    }
  }

  /// Tries again, four times in all, where the connection breaks or the gateway says that a service behind it is away
  /// for the moment. Only for what may be said twice.
  func insisting<Answer>(_ call: () async throws -> Answer) async throws -> Answer {
    var pause = Duration.milliseconds(200)
    for _ in 0..<3 {
      do {
        return try await call()
      } catch let error as CommandError where error.code == "UNAVAILABLE" {
        try await Task.sleep(for: pause)
        pause *= 2
      }
    }
    return try await call()
  }

  func mission(_ id: String) async throws -> Mission { try await call(.GET, ["missions", id]) }

  /// Newest first, at most `limit` of them, however many pages that takes.
  /// - Parameters owner, recipe: only theirs; empty for all.
  func missions(
    states: [MissionState], owner: String = "", recipe: String = "", limit: Int
  ) async throws -> [Mission] {
    var (missions, token) = ([Mission](), "")
    repeat {
      var query = states.map { ("state", $0.label) }
      if !owner.isEmpty { query.append(("owner", owner)) }
      if !recipe.isEmpty { query.append(("recipe", recipe)) }
      query.append(("page_size", String(min(1000, limit - missions.count))))
      if !token.isEmpty { query.append(("page_token", token)) }
      let page = try await call(.GET, ["missions"], query: query, as: ListMissionsResponse.self)
      missions += page.missions
      token = page.missions.isEmpty ? "" : page.nextPageToken
    } while missions.count < limit && !token.isEmpty
    return Array(missions.prefix(limit))
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
