import Messages
import RPC
import Stubs

extension MissionsService {
  func listQueue(_ request: ListQueueRequest, _ context: ServerContext) async throws -> ListQueueResponse {
    throw Status(.unimplemented, "ListQueue")
  }
}
