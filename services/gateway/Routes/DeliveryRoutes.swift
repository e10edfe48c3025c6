import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// Deliveries between the services that their receiver refused for good, for people to look at: deliver them again, or
/// drop them.
struct DeliveryRoutes: Sendable {
  let upstreams: Upstreams

  func register(in routes: inout RouteTable) {
    routes.get("/api/v1/deliveries/refused", list)
    routes.post("/api/v1/deliveries/refused/:service/:id/retry", retry)
    routes.delete("/api/v1/deliveries/refused/:service/:id", drop)
  }

  /// Always 200: a service that is down has an error in its place, and the others' deliveries are there. A page is one
  /// of each service; further ones are asked for service by service.
  @Sendable func list(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["service", "page_size", "page_token"])
    let services = try query.text("service").map { [try sender(named: $0)] } ?? Upstreams.withOutbox
    let page = try request.page(query)
    guard page.token.isEmpty || query.text("service") != nil else {
      throw GatewayError.badRequest("page_token is one service's: name it with service.")
    }
    let lists = try await withThrowingTaskGroup(of: (ServiceName, String).self) { group in
      for service in services {
        group.addTask { (service, try await list(of: service, ListRefusedRequest(page: page))) }
      }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    return .json("{\"services\":[\(services.compactMap { lists[$0] }.joined(separator: ","))]}")
  }

  @Sendable func retry(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let (service, id) = try target(context)
    return try .json(message: await call(service) { try await $0.retryRefused(RetryRefusedRequest(id: id), $1) })
  }

  @Sendable func drop(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let (service, id) = try target(context)
    return try .json(message: await call(service) { try await $0.dropRefused(DropRefusedRequest(id: id), $1) })
  }

  // MARK: -

  /// One service's part of a list: `deliveries` and `nextPageToken`, or `error`.
  private func list(of service: ServiceName, _ request: ListRefusedRequest) async throws -> String {
    let name = "{\"service\":\(jsonQuoted(service.rawValue))"
    do {
      let answer = try await call(service) { try await $0.listRefused(request, $1) }
      return "\(name),\(try protoJSON(answer).dropFirst())"
    } catch let failure as UpstreamFailure where failure.status.code != .invalidArgument {
      // What the whole answer would be is this service's part of it.
      return "\(name),\(GatewayError(failure.status, from: service).json.dropFirst())"
    }
  }

  private func call<Answer>(
    _ service: ServiceName, _ body: (AdminClient, CallOptions) async throws -> Answer
  ) async throws -> Answer {
    guard let admin = upstreams.admin(service) else { throw unknown(service.rawValue) }
    return try await upstreams.call(service) { try await body(admin, $0) }
  }

  private func target(_ context: BasicRequestContext) throws -> (ServiceName, String) {
    (try sender(named: context.pathText("service")), try context.pathText("id"))
  }

  private func sender(named name: String) throws -> ServiceName {
    guard let service = ServiceName(rawValue: name), Upstreams.withOutbox.contains(service) else { throw unknown(name) }
    return service
  }

  private func unknown(_ name: String) -> GatewayError {
    let names = Upstreams.withOutbox.map(\.rawValue).joined(separator: ", ")
    return .notFound("There is no service \"\(name.prefix(40))\" that delivers; there is: \(names).")
  }
}
