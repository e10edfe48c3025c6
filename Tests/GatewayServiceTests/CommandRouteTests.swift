import Messages
import NIOCore
import RPC
import ServiceKit
import Testing

@testable import GatewayService

@Suite struct CommandRouteTests {
  /// Every command takes who, which and the request's id from outside its body.
  private var echo: Backend {
    @Sendable func answer(_ command: String, _ id: String, _ actor: String, _ request: String) -> Mission {
      Mission(id: id, objective: command, owner: actor, idempotencyKey: request)
    }
    var backend = Backend()
    backend.missions.onApprove = { answer("approve", $0.id, $0.actor, $0.requestId) }
    backend.missions.onReject = { answer("reject", $0.id, $0.actor, $0.requestId) }
    backend.missions.onCancel = { answer("cancel", $0.id, $0.actor, $0.requestId) }
    backend.missions.onPause = { answer("pause", $0.id, $0.actor, $0.requestId) }
    backend.missions.onResume = { answer("resume", $0.id, $0.actor, $0.requestId) }
    backend.missions.onModify = { answer("modify", $0.id, $0.actor, $0.requestId) }
    backend.missions.onAnswer = { answer("answer", $0.id, $0.actor, $0.requestId) }
    return backend
  }

  @Test(arguments: ["approve", "reject", "cancel", "pause", "resume", "modify", "answer"])
  func commandsPassWhoWhichAndTheRequestsID(_ command: String) async throws {
    try await withGateway(echo) { gateway in
      let path = "/api/v1/missions/a%2Fb/\(command)"
      let answer = try await gateway.post(path, "{}", ["X-Buddy-User": "ada", "Idempotency-Key": "k1"])
      #expect(answer.status == 200)
      #expect(answer.json["objective"] as? String == command)
      #expect(answer.json["id"] as? String == "a/b")
      #expect(answer.json["owner"] as? String == "ada")
      #expect(answer.json["idempotencyKey"] as? String == "k1")
      let inBody = try await gateway.post(path, #"{"requestId":"k2"}"#)
      #expect(inBody.json["idempotencyKey"] as? String == "k2")
      for body in [#"{"id":"other"}"#, #"{"actor":"eve"}"#, #"{"requestId":"k2"}"#, #"{"nonsense":1}"#] {
        let refused = try await gateway.post(path, body, ["Idempotency-Key": "k1"])
        #expect(refused.status == 400, "\(body)")
        #expect(refused.errorCode == "INVALID_ARGUMENT")
      }
      // What changes nothing by itself needs a body.
      let empty = try await gateway.send("POST", path).status
      #expect(empty == (["modify", "answer"].contains(command) ? 415 : 200))
      #expect(try await gateway.get(path).status == 405)
      let foreign = try await gateway.post(path, "{}", ["Origin": "https://evil.example"])
      #expect(foreign.status == 403)
    }
  }

  @Test func modifyAndAnswerPassTheirFields() async throws {
    var backend = Backend()
    backend.missions.onModify = { request in
      Mission(
        id: request.id, objective: request.objective?.value ?? "", parameters: request.setParameters,
        priority: request.priority?.value ?? 0, budget: request.budget)
    }
    backend.missions.onAnswer = { request in
      guard case .choice(let choice) = request.answer?.value else { throw Status(.invalidArgument, "a choice") }
      return Mission(id: request.id, objective: "\(request.questionId) \(choice)", version: request.expectedVersion)
    }
    try await withGateway(backend) { gateway in
      let modified = try await gateway.post(
        "/api/v1/missions/m/modify",
        #"{"objective":"x","setParameters":{"k":"v"},"priority":7,"budget":{"micros":"5","currency":"USD"}}"#)
      #expect(modified.json["objective"] as? String == "x")
      #expect(modified.json["parameters"] as? [String: String] == ["k": "v"])
      #expect(modified.json["priority"] as? Int == 7)
      let answered = try await gateway.post(
        "/api/v1/missions/m/answer", #"{"questionId":"q1","answer":{"choice":"red"},"expectedVersion":"9"}"#)
      #expect(answered.json["objective"] as? String == "q1 red")
      #expect(answered.json["version"] as? String == "9")
    }
  }

  @Test func theQueueAndListsByRecipe() async throws {
    var backend = Backend()
    backend.missions.onListQueue = { request in
      ListQueueResponse(
        entries: [QueueEntry(missionId: "m", owner: request.owner, position: 1)],
        nextPageToken: "\(request.page?.size ?? 0)\(request.page?.token ?? "")", waiting: 3)
    }
    backend.missions.onList = { ListMissionsResponse(nextPageToken: $0.recipe) }
    try await withGateway(backend) { gateway in
      let queue = try await gateway.get("/api/v1/queue?owner=ada&page_size=5&page_token=t")
      #expect(queue.json["waiting"] as? String == "3")
      #expect(queue.json["nextPageToken"] as? String == "5t")
      #expect(queue.text.contains(#""owner":"ada""#))
      #expect(try await gateway.get("/api/v1/queue?state=x").status == 400)
      #expect(try await gateway.get("/api/v1/missions?recipe=weekly").json["nextPageToken"] as? String == "weekly")
    }
  }

  @Test func theAuditLog() async throws {
    var backend = Backend()
    backend.audit.onList = { request in
      ListAuditResponse(
        entries: [AuditEntry(number: 1, missionId: request.missionId, actor: request.actor)],
        nextPageToken: "\(request.page?.size ?? 0)")
    }
    backend.audit.onExport = { request, responses in
      if request.afterNumber == 99 { throw Status(.permissionDenied, "not yours") }
      for number in request.afterNumber + 1...3000 {
        try await responses.write(AuditEntry(number: number, action: "STEP_STARTED"))
      }
      if request.afterNumber == 2998 { throw Status(.internalError, "the disk is gone") }
    }
    try await withGateway(backend) { gateway in
      let list = try await gateway.get("/api/v1/audit?mission=m&actor=ada&page_size=2")
      #expect(list.text.contains(#""missionId":"m""#))
      #expect(list.text.contains(#""actor":"ada""#))
      #expect(list.json["nextPageToken"] as? String == "2")
      let verified = try await gateway.get("/api/v1/audit/verify")
      #expect(verified.json["brokenAt"] as? String == "3")
      let export = try await gateway.get("/api/v1/audit/export?after_number=10")
      #expect(export.header("Content-Type") == "application/x-ndjson")
      let lines = export.text.split(separator: "\n").map(String.init)
      #expect(lines.count == 2990)
      let entries = try lines.map { try ProtoJSON.decode(AuditEntry.self, from: $0) }
      #expect(entries.map(\.number) == Array(11...3000))
      #expect(try await gateway.get("/api/v1/audit/export?after_number=99").status == 403)
      #expect(try await gateway.get("/api/v1/audit/export?after=1").status == 400)
      // A part is never taken for the whole.
      await #expect(throws: (any Error).self) { try await gateway.get("/api/v1/audit/export?after_number=2998") }
    }
    try await withGateway(Backend(down: [.progress])) { (gateway) async throws in
      #expect(try await gateway.get("/api/v1/audit/verify").errorService == "progress")
    }
  }
}
