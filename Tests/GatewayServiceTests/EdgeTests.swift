import Messages
import NIOCore
import RPC
import ServiceKit
import Testing

@testable import GatewayService

/// What holds for every request, whatever the route.
@Suite struct EdgeTests {
  @Test func unknownPathsAndMethods() async throws {
    try await withGateway { gateway in
      for path in ["/nothing", "/api/v1", "/api/v2/missions", "/api/v1/missions/m/nothing", "/api/v1/tools/x"] {
        let answer = try await gateway.get(path)
        #expect(answer.status == 404, "\(path)")
        #expect(answer.errorCode == "NOT_FOUND")
      }
      let answer = try await gateway.send("DELETE", "/api/v1/missions")
      #expect(answer.status == 405)
      #expect(answer.errorCode == "METHOD_NOT_ALLOWED")
      #expect(answer.header("Allow") == "GET, HEAD, POST")
      #expect(try await gateway.get("/api/v1/missions/m/approve").header("Allow") == "POST")
      #expect(try await gateway.send("POST", "/api/v1/tools").status == 405)
    }
  }

  /// An HTTP client would mend these itself.
  @Test(arguments: ["missions/%zz", "missions/%ff/events", "missions?owner=%z", "ledger?a=%"])
  func malformedEscapesAreRefused(_ path: String) async throws {
    try await withGateway { gateway in
      let answer = try await RawConnection(port: gateway.port).exchange(
        "GET /api/v1/\(path) HTTP/1.1\r\nHost: localhost\r\n\r\n"
      ) { $0.contains("}}") }
      #expect(answer.hasPrefix("HTTP/1.1 400 "))
      #expect(answer.contains("invalid percent escape"))
    }
  }

  @Test(arguments: ["missions/%00", "missions/a%0Ab/progress", "artifacts/%7f", "missions?owner=%00"])
  func controlCharactersAreRefused(_ path: String) async throws {
    var backend = Backend()
    backend.missions.onList = { _ in ListMissionsResponse() }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/\(path)")
      #expect(answer.status == 400)
      #expect(answer.errorCode == "INVALID_ARGUMENT")
    }
  }

  @Test(arguments: ["missions", "artifacts", "ledger", "missions/m/events"])
  func unknownParametersAreRefused(_ path: String) async throws {
    try await withGateway { gateway in
      let answer = try await gateway.get("/api/v1/\(path)?stat=RUNNING&limits=1&stat=x")
      #expect(answer.status == 400)
      #expect(answer.errorMessage?.contains(#"unknown parameters: "stat", "limits"."#) == true)
    }
  }

  @Test func aPathWithoutParametersSaysSo() async throws {
    try await withGateway { gateway in
      let answer = try await gateway.get("/api/v1/audit/verify?x=1")
      #expect(answer.status == 400)
      #expect(answer.errorMessage?.hasSuffix("This path takes no parameters.") == true)
    }
  }

  @Test func headIsGetWithoutABody() async throws {
    try await withGateway { gateway in
      let whole = try await gateway.get("/api/v1/tools")
      let head = try await gateway.send("HEAD", "/api/v1/tools")
      #expect(head.status == 200)
      #expect(head.body.readableBytes == 0)
      #expect(head.header("Content-Length") == "\(whole.body.readableBytes)")
      #expect(try await gateway.send("HEAD", "/nothing").status == 404)
    }
  }

  @Test func answersCarrySafetyHeaders() async throws {
    try await withGateway { gateway in
      for path in ["/", "/healthz", "/api/v1/tools", "/nothing"] {
        let answer = try await gateway.get(path)
        #expect(answer.header("X-Content-Type-Options") == "nosniff", "\(path)")
        #expect(answer.header("Cross-Origin-Resource-Policy") == "same-origin")
        #expect(answer.header("Content-Type") == "application/json")
      }
    }
  }

  @Test func foreignHostsAreRefused() async throws {
    let backend = Backend(configure: { $0.allowedHosts = ["buddy.example"] })
    try await withGateway(backend) { gateway in
      for host in ["evil.example", "127.0.0.1.evil.example:80"] {
        let answer = try await gateway.get("/api/v1/tools", ["Host": host])
        #expect(answer.status == 403, "\(host)")
        #expect(answer.errorCode == "HOST_NOT_ALLOWED")
      }
      for host in ["localhost:\(gateway.port)", "[::1]:1", "BUDDY.example", "buddy.example:443"] {
        #expect(try await gateway.get("/api/v1/tools", ["Host": host]).status == 200, "\(host)")
      }
      let bare = try await RawConnection(port: gateway.port).exchange("GET /healthz HTTP/1.0\r\n\r\n") {
        $0.contains("}}")
      }
      #expect(bare.contains(" 400 "))
      #expect(bare.contains("Host header"))
    }
  }

  @Test(arguments: [
    ("/healthz", "Host: localhost\r\nHost: evil.example", 400), ("/healthz", "Host: localhost\r\nhost: localhost", 400),
    ("http://evil.example/healthz", "Host: localhost", 403), ("http://a@evil.example:80?x", "Host: localhost", 403),
    ("http://localhost@evil.example/healthz", "Host: localhost", 403), ("http:///healthz", "Host: localhost", 400),
    ("http://localhost/healthz", "Host: localhost", 200), ("http://localhost:1/healthz", "Host: evil.example", 200),
    ("http://localhost/healthz", "X: y", 400), ("/healthz?u=http://evil.example/", "Host: localhost", 200),
  ])
  func oneHostCounts(_ target: String, _ headers: String, _ status: Int) async throws {
    try await withGateway { gateway in
      let answer = try await RawConnection(port: gateway.port).exchange(
        "GET \(target) HTTP/1.1\r\n\(headers)\r\nConnection: close\r\n\r\n")
      #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
    }
  }

  /// Each byte keeps the connection from being idle, so the whole body has a time limit of its own.
  @Test(arguments: ["POST /api/v1/missions", "PUT /api/v1/budget", "POST /nothing"])
  func bodiesThatTrickleInAreGivenUp(_ request: String) async throws {
    try await withGateway(Backend(configure: { $0.bodyTimeout = .milliseconds(300) })) { gateway in
      let answer = try await RawConnection(port: gateway.port).trickle(
        "\(request) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n",
        every: .milliseconds(20))
      #expect(answer.hasPrefix(request == "POST /nothing" ? "HTTP/1.1 404 " : "HTTP/1.1 408 "), "\(answer)")
    }
  }

  @Test func otherOriginsMayNotChangeAnything() async throws {
    var backend = Backend()
    backend.missions.onSubmit = { Mission(id: "m", objective: $0.objective) }
    try await withGateway(backend) { gateway in
      let submit = { @Sendable (headers: [String: String]) in
        try await gateway.post("/api/v1/missions", #"{"objective":"x"}"#, headers)
      }
      let foreign: [[String: String]] = [
        ["Origin": "https://evil.example"], ["Origin": "null"], ["Origin": "http://127.0.0.1:1"],
        ["Sec-Fetch-Site": "cross-site"], ["Sec-Fetch-Site": "same-site"],
        ["Origin": gateway.address, "Sec-Fetch-Site": "cross-site"],
      ]
      for headers in foreign {
        let answer = try await submit(headers)
        #expect(answer.status == 403, "\(headers)")
        #expect(answer.errorCode == "ORIGIN_NOT_ALLOWED")
      }
      #expect(try await submit(["Origin": gateway.address, "Sec-Fetch-Site": "same-origin"]).status == 201)
      #expect(try await submit(["Sec-Fetch-Site": "none"]).status == 201)
      // Reading is harmless: without CORS headers a page of another origin cannot see the answer.
      let read = try await gateway.get("/api/v1/tools", ["Origin": "https://evil.example"])
      #expect(read.status == 200)
      #expect(read.header("Access-Control-Allow-Origin") == nil)
    }
  }

  @Test func usersHaveShortNames() async throws {
    var backend = Backend()
    backend.missions.onSubmit = { Mission(id: "m", owner: $0.owner) }
    try await withGateway(backend) { (gateway) async throws in
      let submit = { @Sendable (user: String) in
        try await gateway.post("/api/v1/missions", "{}", ["X-Buddy-User": user])
      }
      #expect(try await submit(String(repeating: "u", count: 101)).status == 400)
      #expect(try await submit(String(repeating: "u", count: 100)).status == 201)
      #expect(try await submit(" ").json["owner"] as? String == "anonymous")
    }
  }

  @Test func healthTellsEachServiceApart() async throws {
    try await withGateway(Backend(down: [.learning])) { gateway in
      let answer = try await gateway.get("/api/v1/health")
      #expect(answer.status == 200)
      #expect(answer.json["status"] as? String == "DEGRADED")
      let services = answer.json["services"] as? [String: [String: String]]
      #expect(services?["learning"] == ["status": "UNREACHABLE"])
      #expect(services?["execution"] == ["status": "SERVING"])
      #expect(services?.count == 5)
    }
    try await withGateway(Backend(health: .notServing)) { gateway in
      let services = try await gateway.get("/api/v1/health").json["services"] as? [String: [String: String]]
      #expect(services?["progress"] == ["status": "NOT_SERVING"])
    }
    try await withGateway { (gateway) async throws in
      #expect(try await gateway.get("/api/v1/health").json["status"] as? String == "SERVING")
      #expect(try await gateway.get("/healthz").text == #"{"status":"SERVING"}"#)
    }
  }

  @Test func feedbackAndMoney() async throws {
    try await withGateway { gateway in
      let given = try await gateway.post(
        "/api/v1/missions/m/feedback", #"{"score":0.5,"comment":"ok"}"#, ["X-Buddy-User": "ada"])
      #expect(given.status == 200)
      #expect(given.json["missionId"] as? String == "m")
      #expect(given.json["author"] as? String == "ada")
      #expect(try await gateway.get("/api/v1/missions/m/feedback").text.contains(#""missionId":"m""#))
      let budget = try await gateway.get("/api/v1/budget")
      #expect((budget.json["limit"] as? [String: Any])?["micros"] as? String == "5000000")
      let changed = try await gateway.send(
        "PUT", "/api/v1/budget", ["Content-Type": "application/json"],
        body: #"{"limit":{"micros":"7","currency":"USD"}}"#)
      #expect((changed.json["limit"] as? [String: Any])?["micros"] as? String == "7")
      let ledger = try await gateway.get("/api/v1/ledger?page_size=3&page_token=x")
      #expect(ledger.json["nextPageToken"] as? String == "3/x")
    }
  }
}
