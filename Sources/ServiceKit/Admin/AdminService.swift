import Messages
import RPC
import Storage
import Stubs

/// `buddy.admin.v1.Admin` of a service that has a database.
struct AdminService: AdminHandler {
  let database: Database
  let backups: StateBackup

  func backup(
    _ requests: RequestStream<BackupRequest>, _ responses: ResponseWriter<BackupPart>, _ context: ServerContext
  ) async throws {
    try await backups.run(requests, responses)
  }

  func listRefused(_ request: ListRefusedRequest, _ context: ServerContext) async throws -> ListRefusedResponse {
    try await RefusedDeliveries.list(request, database)
  }

  func retryRefused(_ request: RetryRefusedRequest, _ context: ServerContext) async throws -> RefusedDelivery {
    try await RefusedDeliveries.retry(request, database)
  }

  func dropRefused(_ request: DropRefusedRequest, _ context: ServerContext) async throws -> RefusedDelivery {
    try await RefusedDeliveries.drop(request, database)
  }
}
