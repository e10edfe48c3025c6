import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.audit.v1.Audit` on the wire.
struct AuditService: AuditHandler {
  let log: AuditLog

  func list(_ request: ListAuditRequest, _ context: ServerContext) async throws -> ListAuditResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    let after = page.after.isEmpty ? 0 : Int64(page.after)
    guard let after, after >= 0 else { throw Page.invalidToken }
    let found = try await log.read(
      after: after, mission: request.missionId, actor: request.actor, limit: page.size + 1)
    let shown = try Page.fitting(found.prefix(page.size))
    let token = shown.count < found.count ? shown.last.map { Page.token(after: "\($0.number)") } ?? "" : ""
    return ListAuditResponse(entries: shown, nextPageToken: token)
  }

  func export(
    _ request: ExportAuditRequest, _ responses: ResponseWriter<AuditEntry>, _ context: ServerContext
  ) async throws {
    guard var cursor = Int64(exactly: request.afterNumber) else {
      throw Status(.invalidArgument, "after_number is \(request.afterNumber); no entry has that number")
    }
    // Up to where the log ends now: one that grows faster than it is read would never end.
    let end = try await log.head()?.number ?? 0
    while cursor < end {
      let entries = try await log.read(after: cursor, upTo: end)
      guard let last = entries.last else { return }
      for entry in entries { try await responses.write(entry) }
      cursor = Int64(last.number)
    }
  }

  func verify(_ request: VerifyAuditRequest, _ context: ServerContext) async throws -> VerifyAuditResponse {
    let check = try await log.check()
    return VerifyAuditResponse(
      entries: UInt64(check.head.number), head: check.head.hash, brokenAt: UInt64(check.problem?.number ?? 0),
      problem: check.problem?.text ?? "")
  }
}
