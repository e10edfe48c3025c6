import AsyncHTTPClient
import Messages
import NIOHTTP1

/// What makes a command safe to repeat and to send late.
struct CommandMark: Sendable, Hashable {
  /// The same id again gives the first answer.
  var requestID: String
  /// The mission's version that the command is meant for; 0 for any.
  var expectedVersion: Int64 = 0
}

/// The commands on a mission. Each answers with the mission as it is then.
extension GatewayClient {
  func approve(_ id: String, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "approve", ApproveMissionRequest(
      expectedVersion: mark.expectedVersion, requestId: mark.requestID))
  }

  func reject(_ id: String, reason: String, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "reject", RejectMissionRequest(
      reason: reason, expectedVersion: mark.expectedVersion, requestId: mark.requestID))
  }

  func cancel(_ id: String, reason: String, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "cancel", CancelMissionRequest(
      reason: reason, expectedVersion: mark.expectedVersion, requestId: mark.requestID))
  }

  func pause(_ id: String, reason: String, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "pause", PauseMissionRequest(
      reason: reason, expectedVersion: mark.expectedVersion, requestId: mark.requestID))
  }

  func resume(_ id: String, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "resume", ResumeMissionRequest(
      expectedVersion: mark.expectedVersion, requestId: mark.requestID))
  }

  func modify(_ id: String, _ change: ModifyMissionRequest, _ mark: CommandMark) async throws -> Mission {
    var change = change
    (change.requestId, change.expectedVersion) = (mark.requestID, mark.expectedVersion)
    return try await act(id, "modify", change)
  }

  func answer(_ id: String, question: String, _ answer: Answer, _ mark: CommandMark) async throws -> Mission {
    try await act(id, "answer", AnswerMissionRequest(
      expectedVersion: mark.expectedVersion, requestId: mark.requestID, questionId: question, answer: answer))
  }

  /// Repeated where the answer got lost: each request has an id.
  private func act(_ id: String, _ verb: String, _ request: some ProtobufMessage) async throws -> Mission {
    let body = Array(try WireJSON.encode(request).utf8)
    return try await insisting {
      try await call(.POST, ["missions", id, verb], headers: Self.jsonHeaders, body: .bytes(body))
    }
  }

  /// What waits and what runs: at most `limit` entries, those to run first in front.
  func queue(owner: String, limit: Int) async throws -> ListQueueResponse {
    var (all, token) = (ListQueueResponse?.none, "")
    repeat {
      var query = owner.isEmpty ? [] : [("owner", owner)]
      query.append(("page_size", String(min(1000, limit - (all?.entries.count ?? 0)))))
      if !token.isEmpty { query.append(("page_token", token)) }
      let page = try await call(.GET, ["queue"], query: query, as: ListQueueResponse.self)
      if all == nil { all = page } else { all?.entries += page.entries }
      token = page.entries.isEmpty ? "" : page.nextPageToken
    } while (all?.entries.count ?? 0) < limit && !token.isEmpty
    all?.nextPageToken = token
    return all ?? ListQueueResponse()
  }
}
