import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// Artifacts: upload, list, describe, download.
struct ArtifactRoutes: Sendable {
  let upstreams: Upstreams
  static let uploadPath = "/api/v1/artifacts"

  /// In bytes.
  let maximumUpload: Int

  func register(in routes: inout RouteTable) {
    routes.post(Self.uploadPath, upload)
    routes.get("/api/v1/artifacts", list)
    routes.get("/api/v1/artifacts/:id", describe)
    routes.get("/api/v1/artifacts/:id/content", content)
  }

  @Sendable func upload(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let upload = try Upload(request, limit: maximumUpload)
    let artifact = try await upload.send(to: upstreams)
    return try .json(
      message: artifact, status: .created, headers: [.location: "/api/v1/artifacts/\(percentEncoded(artifact.id))"])
  }

  @Sendable func list(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["page_size", "page_token", "mission_id"])
    let wanted = ListArtifactsRequest(page: try request.page(query), missionId: query.text("mission_id") ?? "")
    return try .json(message: await upstreams.call(.artifact) { try await upstreams.artifacts.list(wanted, $0) })
  }

  @Sendable func describe(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    try .json(message: await artifact(context))
  }

  @Sendable func content(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let download = Download(artifact: try await artifact(context), upstreams: upstreams)
    return try await download.response(to: request)
  }

  private func artifact(_ context: BasicRequestContext) async throws -> Artifact {
    let wanted = DescribeArtifactRequest(id: try context.pathText("id"))
    return try await upstreams.call(.artifact) { try await upstreams.artifacts.describe(wanted, $0) }
  }
}
