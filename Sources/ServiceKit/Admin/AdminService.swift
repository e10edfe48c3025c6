public import Messages
public import RPC
public import Storage
public import Stubs

/// `buddy.admin.v1.Admin` for a service with a database.
public struct AdminService: AdminHandler {
  private let database: Database

  public init(database: Database) { self.database = database }

  public func backup(
    _ requests: RequestStream<BackupRequest>, _ responses: ResponseWriter<BackupPart>, _ context: ServerContext
  ) async throws {
    throw Status(.unimplemented, "this service cannot be copied while it runs")
  }

  public func listRefused(
    _ request: ListRefusedRequest, _ context: ServerContext
  ) async throws -> ListRefusedResponse { try await RefusedDeliveries.list(request, database) }

  public func retryRefused(
    _ request: RetryRefusedRequest, _ context: ServerContext
  ) async throws -> RefusedDelivery { try await RefusedDeliveries.retry(request, database) }

  public func dropRefused(
    _ request: DropRefusedRequest, _ context: ServerContext
  ) async throws -> RefusedDelivery { try await RefusedDeliveries.drop(request, database) }
}
