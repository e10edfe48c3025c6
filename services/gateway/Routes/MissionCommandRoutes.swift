import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// A request that changes one mission. Who, which and the request's own id come from outside the body.
protocol MissionCommandRequest: ProtobufMessage {
  var id: String { get set }
  var actor: String { get set }
  var requestId: String { get set }
}

extension ApproveMissionRequest: MissionCommandRequest {}
extension RejectMissionRequest: MissionCommandRequest {}
extension CancelMissionRequest: MissionCommandRequest {}
extension PauseMissionRequest: MissionCommandRequest {}
extension ResumeMissionRequest: MissionCommandRequest {}
extension ModifyMissionRequest: MissionCommandRequest {}
extension AnswerMissionRequest: MissionCommandRequest {}

/// The commands: POST to the mission's path with the command's name; the body is the request message.
extension MissionRoutes {
  func registerCommands(in routes: inout RouteTable) {
    let missions = upstreams.missions
    command("approve", in: &routes) { try await missions.approve($0, $1) }
    command("reject", in: &routes) { try await missions.reject($0, $1) }
    command("cancel", in: &routes) { try await missions.cancel($0, $1) }
    command("pause", in: &routes) { try await missions.pause($0, $1) }
    command("resume", in: &routes) { try await missions.resume($0, $1) }
    command("modify", in: &routes, mayBeEmpty: false) { try await missions.modify($0, $1) }
    command("answer", in: &routes, mayBeEmpty: false) { try await missions.answer($0, $1) }
  }

  private func command<Command: MissionCommandRequest>(
    _ name: String, in routes: inout RouteTable, mayBeEmpty: Bool = true,
    _ call: @escaping @Sendable (Command, CallOptions) async throws -> Mission
  ) {
    routes.post("/api/v1/missions/:id/\(name)") { request, context in
      var command = try await request.json(Command.self, mayBeEmpty: mayBeEmpty)
      command.id = try claim(command.id, is: context.pathText("id"), field: "id", header: "path")
      command.actor = try claim(command.actor, is: request.user, field: "actor", header: "X-Buddy-User")
      if let key = request.headers[.idempotencyKey] {
        command.requestId = try claim(command.requestId, is: key, field: "requestId", header: "Idempotency-Key")
      }
      return try .json(message: await upstreams.call(.execution) { [command] in try await call(command, $0) })
    }
  }
}
