import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// Missions: submit, list, show, and the commands; what waits to be run; and the tools missions can use.
struct MissionRoutes: Sendable {
  let upstreams: Upstreams

  func register(in routes: inout RouteTable) {
    routes.post("/api/v1/missions", submit)
    routes.get("/api/v1/missions", list)
    routes.get("/api/v1/missions/:id", show)
    registerCommands(in: &routes)
    routes.get("/api/v1/queue", queue)
    routes.get("/api/v1/tools", tools)
  }

  @Sendable func submit(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    var submission = try await request.json(SubmitMissionRequest.self)
    submission.owner = try claim(submission.owner, is: request.user, field: "owner", header: "X-Buddy-User")
    if let key = request.headers[.idempotencyKey] {
      submission.idempotencyKey = try claim(
        submission.idempotencyKey, is: key, field: "idempotencyKey", header: "Idempotency-Key")
    }
    let mission = try await upstreams.call(.execution) { try await upstreams.missions.submit(submission, $0) }
    return try .json(
      message: mission, status: .created, headers: [.location: "/api/v1/missions/\(percentEncoded(mission.id))"])
  }

  @Sendable func list(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["page_size", "page_token", "state", "owner", "recipe"])
    let wanted = ListMissionsRequest(
      page: try request.page(query), states: try query.list("state").map(missionState),
      owner: query.text("owner") ?? "", recipe: query.text("recipe") ?? "")
    return try .json(
      message: await upstreams.call(.execution) { try await upstreams.missions.list(wanted, $0) })
  }

  @Sendable func show(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let wanted = GetMissionRequest(id: try context.pathText("id"))
    return try .json(message: await upstreams.call(.execution) { try await upstreams.missions.get(wanted, $0) })
  }

  @Sendable func queue(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["page_size", "page_token", "owner"])
    let wanted = ListQueueRequest(page: try request.page(query), owner: query.text("owner") ?? "")
    return try .json(message: await upstreams.call(.execution) { try await upstreams.missions.listQueue(wanted, $0) })
  }

  @Sendable func tools(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    try .json(message: await upstreams.call(.execution) { try await upstreams.missions.listTools(.init(), $0) })
  }
}

/// What the request says outside its body, for a field that the body may repeat but not contradict.
func claim(_ field: String, is outside: String, field name: String, header: String) throws -> String {
  guard field.isEmpty || field == outside else {
    throw GatewayError.badRequest("\(name) in the body contradicts the \(header), which says \"\(outside)\".")
  }
  return outside
}
