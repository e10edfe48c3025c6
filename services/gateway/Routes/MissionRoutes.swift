import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// Missions: submit, list, show, approve, reject, cancel; and the tools they can use.
struct MissionRoutes: Sendable {
  let upstreams: Upstreams

  func register(in routes: inout RouteTable) {
    routes.post("/api/v1/missions", submit)
    routes.get("/api/v1/missions", list)
    routes.get("/api/v1/missions/:id", show)
    routes.post("/api/v1/missions/:id/approve", approve)
    routes.post("/api/v1/missions/:id/reject", reject)
    routes.post("/api/v1/missions/:id/cancel", cancel)
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
    let query = try request.query(["page_size", "page_token", "state", "owner"])
    let wanted = ListMissionsRequest(
      page: try request.page(query), states: try query.list("state").map(missionState),
      owner: query.text("owner") ?? "")
    return try .json(
      message: await upstreams.call(.execution) { try await upstreams.missions.list(wanted, $0) })
  }

  @Sendable func show(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let wanted = GetMissionRequest(id: try context.pathText("id"))
    return try .json(message: await upstreams.call(.execution) { try await upstreams.missions.get(wanted, $0) })
  }

  @Sendable func approve(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    var command = try await request.json(ApproveMissionRequest.self, mayBeEmpty: true)
    command.id = try claim(command.id, is: context.pathText("id"), field: "id", header: "path")
    command.actor = try claim(command.actor, is: request.user, field: "actor", header: "X-Buddy-User")
    return try .json(
      message: await upstreams.call(.execution) { [command] in try await upstreams.missions.approve(command, $0) })
  }

  @Sendable func reject(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    var command = try await request.json(RejectMissionRequest.self, mayBeEmpty: true)
    command.id = try claim(command.id, is: context.pathText("id"), field: "id", header: "path")
    command.actor = try claim(command.actor, is: request.user, field: "actor", header: "X-Buddy-User")
    return try .json(
      message: await upstreams.call(.execution) { [command] in try await upstreams.missions.reject(command, $0) })
  }

  @Sendable func cancel(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    var command = try await request.json(CancelMissionRequest.self, mayBeEmpty: true)
    command.id = try claim(command.id, is: context.pathText("id"), field: "id", header: "path")
    command.actor = try claim(command.actor, is: request.user, field: "actor", header: "X-Buddy-User")
    return try .json(
      message: await upstreams.call(.execution) { [command] in try await upstreams.missions.cancel(command, $0) })
  }

  @Sendable func tools(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    try .json(message: await upstreams.call(.execution) { try await upstreams.missions.listTools(.init(), $0) })
  }

  /// `RUNNING` or `MISSION_STATE_RUNNING`, in either case.
  private func missionState(_ text: String) throws -> MissionState {
    let name = text.uppercased()
    let known = MissionState.allKnown.filter { $0 != .unspecified }
    if let state = known.first(where: { $0.protoName == name || $0.label == name }) { return state }
    let names = known.map(\.label).joined(separator: ", ")
    throw GatewayError.badRequest("state must be one of \(names), not \"\(text.prefix(40))\".")
  }
}

/// What the request says outside its body, for a field that the body may repeat but not contradict.
func claim(_ field: String, is outside: String, field name: String, header: String) throws -> String {
  guard field.isEmpty || field == outside else {
    throw GatewayError.badRequest("\(name) in the body contradicts the \(header), which says \"\(outside)\".")
  }
  return outside
}
