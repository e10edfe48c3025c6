import Messages
import NIOHTTP1

extension GatewayClient {
  /// Oldest first, at most `limit` of them, however many pages that takes.
  /// - Parameters mission, actor: only theirs; empty for all.
  func audit(mission: String, actor: String, limit: Int) async throws -> ListAuditResponse {
    var (entries, token) = ([AuditEntry](), "")
    repeat {
      var query: [(String, String)] = []
      if !mission.isEmpty { query.append(("mission", mission)) }
      if !actor.isEmpty { query.append(("actor", actor)) }
      query.append(("page_size", String(min(1000, limit - entries.count))))
      if !token.isEmpty { query.append(("page_token", token)) }
      let page = try await call(.GET, ["audit"], query: query, as: ListAuditResponse.self)
      entries += page.entries
      token = page.entries.isEmpty ? "" : page.nextPageToken
    } while entries.count < limit && !token.isEmpty
    return ListAuditResponse(entries: Array(entries.prefix(limit)), nextPageToken: token)
  }

  /// Has the service compute its chain anew.
  func verifyAudit() async throws -> VerifyAuditResponse { try await call(.GET, ["audit", "verify"]) }
}
