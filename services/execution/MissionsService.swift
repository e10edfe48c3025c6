import Foundation
import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.mission.v1.Missions` on the wire.
struct MissionsService: MissionsHandler {
  let store: MissionStore
  let runner: MissionRunner
  let toolbox: Toolbox
  let rules: SubmissionRules

  func submit(_ request: SubmitMissionRequest, _ context: ServerContext) async throws -> Mission {
    let (mission, effects) = try rules.mission(from: request, now: Date())
    return try await store.insert(mission, effects: effects, from: request)
  }

  func get(_ request: GetMissionRequest, _ context: ServerContext) async throws -> Mission {
    try await store.mission(request.id)
  }

  func list(_ request: ListMissionsRequest, _ context: ServerContext) async throws -> ListMissionsResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    let missions = try await store.list(
      states: request.states, owner: request.owner, before: page.after, limit: page.size + 1)
    let shown = try Page.fitting(missions.prefix(page.size).map(\.summary))
    let next = missions.count > shown.count ? Page.token(after: shown.last?.id ?? "") : ""
    return ListMissionsResponse(missions: shown, nextPageToken: next)
  }

  func approve(_ request: ApproveMissionRequest, _ context: ServerContext) async throws -> Mission {
    try await store.change(
      request.id, expectedVersion: request.expectedVersion, [.approve(actor: Self.actor(request.actor))])
  }

  func reject(_ request: RejectMissionRequest, _ context: ServerContext) async throws -> Mission {
    try await store.change(
      request.id, expectedVersion: request.expectedVersion,
      [.reject(actor: Self.actor(request.actor), reason: try Self.reason(request.reason))])
  }

  /// Answers only when nothing of the mission runs any more, here or in another process, so that no effect
  /// begins after the answer.
  func cancel(_ request: CancelMissionRequest, _ context: ServerContext) async throws -> Mission {
    let mission = try await store.change(
      request.id, expectedVersion: request.expectedVersion,
      [.cancel(actor: Self.actor(request.actor), reason: try Self.reason(request.reason))])
    try await runner.stop(request.id)
    return mission
  }

  func listTools(_ request: ListToolsRequest, _ context: ServerContext) async throws -> ListToolsResponse {
    ListToolsResponse(
      tools: toolbox.declarations.map { tool in
        Messages.Tool(
          name: tool.name, description: tool.description, inputSchema: tool.inputSchema, intents: tool.intents,
          hasSideEffects: tool.hasSideEffects, idempotent: tool.isIdempotent, risk: tool.risk.rawValue,
          timeLimit: GoogleProtobufDuration(tool.timeLimit),
          maximumRunning: Int32(clamping: runner.terms.places.limit(of: tool.name)))
      })
  }

  private static func actor(_ name: String) -> String { name.isEmpty ? "anonymous" : String(name.prefix(100)) }

  private static func reason(_ text: String) throws -> String {
    guard text.count <= 1_000 else {
      throw Status(.invalidArgument, "the reason has \(text.count) characters; at most 1000 are taken")
    }
    return text
  }
}
