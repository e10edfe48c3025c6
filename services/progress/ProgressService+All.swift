import Messages
import RPC
import Stubs

extension ProgressService {
  func watchAll(
    _ request: WatchAllEventsRequest, _ responses: ResponseWriter<PositionedEvent>, _ context: ServerContext
  ) async throws {
    throw Status(.unimplemented, "WatchAll")
  }

  func listAll(_ request: ListAllEventsRequest, _ context: ServerContext) async throws -> ListAllEventsResponse {
    throw Status(.unimplemented, "ListAll")
  }
}
