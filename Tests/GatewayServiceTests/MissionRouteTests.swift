import Foundation
import HTTPTypes
import Messages
import RPC
import ServiceKit
import Testing

@testable import GatewayService

@Suite struct MissionRouteTests {
  @Test func submitPassesBodyUserAndKey() async throws {
    var backend = Backend()
    backend.missions.onSubmit = { request in
      Mission(
        id: "m/1", objective: request.objective, state: .approved, owner: request.owner, inputs: request.inputs,
        parameters: request.parameters, priority: request.priority, budget: request.budget,
        requestedTool: request.requestedTool, idempotencyKey: request.idempotencyKey)
    }
    try await withGateway(backend) { gateway in
      let json = #"""
        {"objective":"Sum ä","inputs":[{"name":"s.csv","artifactId":"a1"}],"parameters":{"k":"v"},"priority":3,
         "budget":{"micros":"250000","currency":"USD"},"requestedTool":"data_analyze","requireApproval":true}
        """#
      let answer = try await gateway.post(
        "/api/v1/missions", json, ["X-Buddy-User": "ada", "Idempotency-Key": "k1"])
      #expect(answer.status == 201)
      #expect(answer.header("Location") == "/api/v1/missions/m%2F1")
      #expect(answer.header("Content-Type") == "application/json")
      #expect(answer.json["owner"] as? String == "ada")
      #expect(answer.json["idempotencyKey"] as? String == "k1")
      #expect(answer.json["objective"] as? String == "Sum ä")
      #expect(answer.json["state"] as? String == "MISSION_STATE_APPROVED")
      #expect((answer.json["budget"] as? [String: Any])?["micros"] as? String == "250000")
      #expect(answer.json["percent"] as? Double == 0)
      let anonymous = try await gateway.post("/api/v1/missions", #"{"objective":"x"}"#)
      #expect(anonymous.json["owner"] as? String == "anonymous")
    }
  }

  @Test(arguments: [
    (#"{"objective":"#, "not a valid request"), (#"{"objective":1}"#, "objective"), (#"{"nonsense":1}"#, "nonsense"),
    ("[]", ""), ("", ""), (#"{"objective":"x","owner":"eve"}"#, "owner"),
    (#"{"objective":"x","idempotencyKey":"b"}"#, "Idempotency"),
  ])
  func malformedSubmissionsAreRefused(_ body: String, _ mentions: String) async throws {
    try await withGateway { gateway in
      let answer = try await gateway.post("/api/v1/missions", body, ["Idempotency-Key": "a"])
      #expect(answer.status == 400)
      #expect(answer.errorCode == "INVALID_ARGUMENT")
      #expect(answer.errorMessage?.localizedCaseInsensitiveContains(mentions) ?? false || mentions.isEmpty)
    }
  }

  @Test func onlyJSONIsTaken() async throws {
    try await withGateway { gateway in
      for type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer = try await gateway.send(
          "POST", "/api/v1/missions", ["Content-Type": type], body: #"{"objective":"x"}"#)
        #expect(answer.status == 415)
        #expect(answer.errorCode == "UNSUPPORTED_MEDIA_TYPE")
      }
      let bare = try await gateway.send("POST", "/api/v1/missions", body: #"{"objective":"x"}"#)
      #expect(bare.status == 415)
      let form = try await gateway.send(
        "POST", "/api/v1/missions/m/approve", ["Content-Type": "application/x-www-form-urlencoded"])
      #expect(form.status == 415)
    }
  }

  @Test func largeBodiesAreRefused() async throws {
    try await withGateway { gateway in
      let objective = String(repeating: "x", count: maximumJSONBytes)
      let answer = try await gateway.post("/api/v1/missions", #"{"objective":"\#(objective)"}"#)
      #expect(answer.status == 413)
      #expect(answer.errorCode == "CONTENT_TOO_LARGE")
      #expect(try await gateway.get("/healthz").status == 200)
    }
  }

  @Test func listPassesFilters() async throws {
    var backend = Backend()
    backend.missions.onList = { request in
      let states = request.states.map(\.protoName).joined(separator: "+")
      return ListMissionsResponse(
        nextPageToken: "\(states) \(request.owner) \(request.page?.size ?? 0) \(request.page?.token ?? "")")
    }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get(
        "/api/v1/missions?state=running&state=MISSION_STATE_FAILED&owner=a%26b&page_size=7&page_token=t")
      #expect(answer.status == 200)
      #expect(answer.json["nextPageToken"] as? String == "MISSION_STATE_RUNNING+MISSION_STATE_FAILED a&b 7 t")
      #expect((answer.json["missions"] as? [Any])?.isEmpty == true)
      for query in ["state=HAPPY", "page_size=0", "page_size=1001", "page_size=ten"] {
        let refused = try await gateway.get("/api/v1/missions?\(query)")
        #expect(refused.status == 400, "\(query)")
        #expect(refused.errorCode == "INVALID_ARGUMENT")
      }
    }
  }

  @Test func commandsPassActorReasonAndVersion() async throws {
    var backend = Backend()
    backend.missions.onApprove = { Mission(id: $0.id, owner: $0.actor, version: $0.expectedVersion) }
    backend.missions.onReject = { Mission(id: $0.id, objective: $0.reason, owner: $0.actor) }
    backend.missions.onCancel = { Mission(id: $0.id, objective: $0.reason, owner: $0.actor) }
    try await withGateway(backend) { gateway in
      let approved = try await gateway.post(
        "/api/v1/missions/a%2Fb/approve", #"{"expectedVersion":"4"}"#, ["X-Buddy-User": "ada"])
      #expect(approved.status == 200)
      #expect(approved.json["id"] as? String == "a/b")
      #expect(approved.json["owner"] as? String == "ada")
      #expect(approved.json["version"] as? String == "4")
      #expect(try await gateway.send("POST", "/api/v1/missions/m/approve").json["owner"] as? String == "anonymous")
      let rejected = try await gateway.post("/api/v1/missions/m/reject", #"{"reason":"no"}"#)
      #expect(rejected.json["objective"] as? String == "no")
      let cancelled = try await gateway.post("/api/v1/missions/m/cancel", #"{"reason":"stop"}"#)
      #expect(cancelled.json["objective"] as? String == "stop")
      #expect(try await gateway.post("/api/v1/missions/m/cancel", #"{"id":"other"}"#).status == 400)
    }
  }

  @Test func everyCodeOfAServiceHasItsStatus() async throws {
    var backend = Backend()
    backend.missions.onGet = { throw Status(Status.Code(name: $0.id) ?? .unknown, "because of \($0.id)") }
    try await withGateway(backend) { gateway in
      for code in Status.Code.allCases where code != .ok {
        let answer = try await gateway.get("/api/v1/missions/\(code.name)")
        #expect(answer.status == Int(code.httpStatus.code), "\(code)")
        #expect(answer.errorCode == code.name)
        #expect(answer.errorService == "execution")
        #expect(answer.errorMessage?.contains("because of \(code.name)") == true)
        #expect((answer.header("Retry-After") != nil) == (code == .unavailable))
      }
    }
  }

  @Test func aServiceThatIsDownCostsOneClearError() async throws {
    try await withGateway(Backend(down: [.execution, .investment])) { gateway in
      let mission = try await gateway.get("/api/v1/missions/m")
      #expect(mission.status == 503)
      #expect(mission.errorCode == "UNAVAILABLE")
      #expect(mission.errorService == "execution")
      #expect(mission.header("Retry-After") == "1")
      #expect(try await gateway.get("/api/v1/budget").errorService == "investment")
      #expect(try await gateway.get("/api/v1/artifacts").status == 200)
    }
  }

  @Test func aServiceThatHangsIsNotWaitedFor() async throws {
    var backend = Backend()
    backend.missions.onGet = { _ in
      try await Task.sleep(for: .seconds(3600))
      throw unscripted
    }
    backend.upstreamTimeout = .milliseconds(100)
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/missions/m")
      #expect(answer.status == 504)
      #expect(answer.errorCode == "DEADLINE_EXCEEDED")
      #expect(answer.errorService == "execution")
    }
  }
}
