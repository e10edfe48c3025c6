import Messages
import RPC
import ServiceKit
import Stubs

extension MissionsService {
  /// What waits, in the order of its turns as things are now; what comes later or ends sooner changes it. A page's
  /// token is a position, so while the queue moves a mission may be seen twice or not at all.
  func listQueue(_ request: ListQueueRequest, _ context: ServerContext) async throws -> ListQueueResponse {
    try await listQueue(request)
  }

  func listQueue(_ request: ListQueueRequest) async throws -> ListQueueResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    guard let after = page.after.isEmpty ? 0 : Int(page.after), after >= 0 else { throw Page.invalidToken }
    let terms = runner.terms
    let listing = try await store.queue(
      terms, limit: runner.limit, owner: request.owner, after: after, atMost: page.size)
    let shown = try Page.fitting(listing.entries)
    let isMore = shown.count < listing.entries.count || listing.hasMore
    return ListQueueResponse(
      entries: shown, nextPageToken: isMore ? Page.token(after: "\(shown.last?.position ?? 0)") : "",
      waiting: Int64(listing.waiting), running: Int32(clamping: runner.runningCount),
      runningLimit: Int32(clamping: runner.limit),
      tools: toolbox.declarations.map { tool in
        ToolLoad(
          tool: tool.name, running: Int32(clamping: terms.places.running(tool.name)),
          limit: Int32(clamping: terms.places.limit(of: tool.name)))
      })
  }
}
