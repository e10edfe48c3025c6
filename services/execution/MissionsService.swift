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
      states: request.states, owner: request.owner, recipe: request.recipe, before: page.after, limit: page.size + 1)
    let shown = try Page.fitting(missions.prefix(page.size).map(\.summary))
    let next = missions.count > shown.count ? Page.token(after: shown.last?.id ?? "") : ""
    return ListMissionsResponse(missions: shown, nextPageToken: next)
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
}
