import Messages
import RPC
import ServiceKit
import Synchronization
import Testing

@testable import GatewayService

@Suite(.timeLimit(.minutes(1))) struct DeliveryRouteTests {
  private static let refused = RefusedDelivery(
    id: "d-1", topic: "progress", key: "m", payloadSize: 12, reason: "a \"gap\"")

  @Test func listsWhatEachServiceHas() async throws {
    let asked = Mutex<[ListRefusedRequest]>([])
    var backend = Backend()
    backend.admin.onList = { request in
      asked.withLock { $0.append(request) }
      return ListRefusedResponse(deliveries: [Self.refused], nextPageToken: "more")
    }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/deliveries/refused?page_size=7")
      #expect(answer.status == 200)
      let services = try #require(answer.json["services"] as? [[String: Any]])
      #expect(services.map { $0["service"] as? String } == ["execution"])
      #expect(services[0]["nextPageToken"] as? String == "more")
      let deliveries = try #require(services[0]["deliveries"] as? [[String: Any]])
      #expect(deliveries[0]["id"] as? String == "d-1" && deliveries[0]["reason"] as? String == "a \"gap\"")
      #expect(deliveries[0]["payloadSize"] as? String == "12")
      _ = try await gateway.get("/api/v1/deliveries/refused?service=execution&page_token=more")
    }
    #expect(asked.withLock { $0.map { $0.page?.size } } == [7, 0])
    #expect(asked.withLock { $0.map { $0.page?.token } } == ["", "more"])
  }

  @Test func aServiceThatIsDownIsMarked() async throws {
    var backend = Backend()
    backend.down = [.execution]
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/deliveries/refused")
      #expect(answer.status == 200)
      let services = try #require(answer.json["services"] as? [[String: Any]])
      let error = try #require(services[0]["error"] as? [String: Any])
      #expect(error["code"] as? String == "UNAVAILABLE" && error["service"] as? String == "execution")
      #expect(services[0]["deliveries"] == nil)
      #expect(try await gateway.post("/api/v1/deliveries/refused/execution/d-1/retry", "").status == 503)
    }
  }

  @Test func retriesAndDrops() async throws {
    try await withGateway { gateway in
      let retried = try await gateway.send("POST", "/api/v1/deliveries/refused/execution/d-1/retry")
      #expect(retried.status == 200 && retried.json["topic"] as? String == "retried")
      let dropped = try await gateway.send("DELETE", "/api/v1/deliveries/refused/execution/d-1")
      #expect(dropped.status == 200 && dropped.json["topic"] as? String == "dropped")
      for path in ["execution/d-2", "progress/d-1", "nobody/d-1"] {
        let answer = try await gateway.send("DELETE", "/api/v1/deliveries/refused/\(path)")
        #expect(answer.status == 404 && answer.errorCode == "NOT_FOUND")
      }
    }
  }

  @Test func badQueriesAreRefused() async throws {
    try await withGateway { gateway in
      for (method, query, status) in [
        ("GET", "?page_token=x", 400), ("GET", "?limit=3", 400), ("GET", "?service=nobody", 404), ("PUT", "", 405),
      ] {
        let answer = try await gateway.send(method, "/api/v1/deliveries/refused" + query)
        #expect(answer.status == status)
      }
    }
  }
}
