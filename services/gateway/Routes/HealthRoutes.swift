import Hummingbird
import ServiceKit

/// How the gateway and the services behind it are.
struct HealthRoutes: Sendable {
  let upstreams: Upstreams
  /// How long one service may take to answer.
  private let limit: Duration = .seconds(1)

  init(upstreams: Upstreams) {
    self.upstreams = upstreams
  }

  func register(in routes: inout RouteTable) {
    routes.get("/healthz") { _, _ in .json(#"{"status":"SERVING"}"#) }
    routes.get("/api/v1/health", all)
    routes.get("/") { _, _ in .json(#"{"name":"Buddy","api":"/api/v1/","health":"/api/v1/health"}"#) }
  }

  /// Always 200: that a service is down is the answer, not an error of this call.
  @Sendable func all(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let states = await withTaskGroup { group in
      for name in Upstreams.names {
        group.addTask { (name, await upstreams.health(of: name, within: limit)) }
      }
      return await group.reduce(into: [ServiceName: String]()) { $0[$1.0] = $1.1 }
    }
    let services = Upstreams.names.map { name in
      "\(jsonQuoted(name.rawValue)):{\"status\":\(jsonQuoted(states[name] ?? "UNREACHABLE"))}"
    }
    let status = states.values.allSatisfy { $0 == "SERVING" } ? "SERVING" : "DEGRADED"
    return .json("{\"status\":\"\(status)\",\"services\":{\(services.joined(separator: ","))}}")
  }
}
