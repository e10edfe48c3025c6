import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// What people say about a mission's result.
struct FeedbackRoutes: Sendable {
  let upstreams: Upstreams

  func register(in routes: inout RouteTable) {
    routes.post("/api/v1/missions/:id/feedback", give)
    routes.get("/api/v1/missions/:id/feedback", list)
  }

  @Sendable func give(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    var feedback = try await request.json(GiveFeedbackRequest.self)
    feedback.missionId = try claim(feedback.missionId, is: context.pathText("id"), field: "missionId", header: "path")
    feedback.author = try claim(feedback.author, is: request.user, field: "author", header: "X-Buddy-User")
    return try .json(
      message: await upstreams.call(.learning) { [feedback] in
        try await upstreams.learning.giveFeedback(feedback, $0)
      })
  }

  @Sendable func list(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let wanted = ListFeedbackRequest(missionId: try context.pathText("id"))
    return try .json(message: await upstreams.call(.learning) { try await upstreams.learning.listFeedback(wanted, $0) })
  }
}

/// The budget and every movement of money.
struct MoneyRoutes: Sendable {
  let upstreams: Upstreams

  func register(in routes: inout RouteTable) {
    routes.get("/api/v1/budget", budget)
    routes.put("/api/v1/budget", setBudget)
    routes.get("/api/v1/ledger", ledger)
  }

  @Sendable func budget(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    try .json(message: await upstreams.call(.investment) { try await upstreams.investment.getBudget(.init(), $0) })
  }

  @Sendable func setBudget(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let change = try await request.json(SetBudgetRequest.self)
    return try .json(
      message: await upstreams.call(.investment) { try await upstreams.investment.setBudget(change, $0) })
  }

  @Sendable func ledger(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["page_size", "page_token", "mission_id"])
    let wanted = ListLedgerRequest(page: try request.page(query), missionId: query.text("mission_id") ?? "")
    return try .json(
      message: await upstreams.call(.investment) { try await upstreams.investment.listLedger(wanted, $0) })
  }
}
