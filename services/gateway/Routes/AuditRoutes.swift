import Hummingbird
import Messages
import RPC
import ServiceKit
import Stubs

/// The audit log: who did what to which mission.
struct AuditRoutes: Sendable {
  let upstreams: Upstreams
  /// How long it may take to compute the whole chain anew.
  private let patience: Duration = .seconds(600)

  init(upstreams: Upstreams) {
    self.upstreams = upstreams
  }

  func register(in routes: inout RouteTable) {
    routes.get("/api/v1/audit", list)
    routes.get("/api/v1/audit/export", export)
    routes.get("/api/v1/audit/verify", verify)
  }

  @Sendable func list(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["page_size", "page_token", "mission", "actor"])
    let wanted = ListAuditRequest(
      page: try request.page(query), missionId: query.text("mission") ?? "", actor: query.text("actor") ?? "")
    return try .json(message: await upstreams.call(.progress) { try await upstreams.audit.list(wanted, $0) })
  }

  @Sendable func verify(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    _ = try request.query([])
    return try .json(
      message: await upstreams.call(.progress, extra: patience) { try await upstreams.audit.verify(.init(), $0) })
  }

  /// One entry a line, as long as the log is. What goes wrong before the first entry is an error as everywhere; after
  /// it the connection breaks off, so that a part is never taken for the whole.
  @Sendable func export(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
    let query = try request.query(["after_number"])
    let wanted = ExportAuditRequest(afterNumber: try query.integer("after_number", in: 0...UInt64(Int64.max)) ?? 0)
    let lease = upstreams.progressStreams.lease()
    let entries: ResponseStream<AuditEntry>
    let first: AuditEntry?
    do {
      entries = try await AuditClient(lease.client).export(wanted)
      var iterator = entries.makeAsyncIterator()
      first = try await iterator.next()
    } catch let status as Status {
      throw UpstreamFailure(service: .progress, status: status)
    }
    return Response(
      status: .ok, headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
      body: ResponseBody { writer in
        defer { withExtendedLifetime(lease) {} }
        // What the first iterator took is not given out again.
        var (next, rest) = (first, entries.makeAsyncIterator())
        while let entry = next {
          try await writer.write(ByteBuffer(string: try protoJSON(entry) + "\n"))
          next = try await rest.next()
        }
        try await writer.finish(nil)
      })
  }
}
