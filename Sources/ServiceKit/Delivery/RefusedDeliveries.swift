import Foundation
public import Messages
import RPC
public import Storage

/// The part of `buddy.admin.v1.Admin` that is about messages which their receivers refused.
public enum RefusedDeliveries {
  public static func list(_ request: ListRefusedRequest, _ database: Database) async throws -> ListRefusedResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    guard let after = page.after.isEmpty ? 0 : Int64(page.after) else { throw Page.invalidToken }
    guard try await hasOutbox(database) else { return ListRefusedResponse() }
    let messages = try await database.read { try Outbox.refused(after: after, limit: page.size + 1, in: $0) }
    let shown = try Page.fitting(messages.prefix(page.size).map(RefusedDelivery.init))
    let next = messages.count > shown.count ? Page.token(after: String(messages[shown.count - 1].id)) : ""
    return ListRefusedResponse(deliveries: shown, nextPageToken: next)
  }

  /// Throws `Status` NOT_FOUND.
  public static func retry(_ request: RetryRefusedRequest, _ database: Database) async throws -> RefusedDelivery {
    guard try await hasOutbox(database) else { throw notFound(request.id) }
    let message = try await database.write { try Outbox.retry(request.id, in: $0) }
    guard let message else { throw notFound(request.id) }
    return RefusedDelivery(message)
  }

  /// Throws `Status` NOT_FOUND.
  public static func drop(_ request: DropRefusedRequest, _ database: Database) async throws -> RefusedDelivery {
    guard try await hasOutbox(database) else { throw notFound(request.id) }
    let message = try await database.write { try Outbox.drop(request.id, in: $0) }
    guard let message else { throw notFound(request.id) }
    return RefusedDelivery(message)
  }

  private static func notFound(_ id: String) -> Status {
    Status(.notFound, "no refused delivery \(id.prefix(100))")
  }

  /// A service that tells others nothing has no outbox.
  private static func hasOutbox(_ database: Database) async throws -> Bool {
    try await database.read { try $0.hasTable("outbox") }
  }
}

extension RefusedDelivery {
  init(_ message: RefusedMessage) {
    self.init(
      id: message.messageID, topic: message.topic, key: message.key, payloadSize: UInt64(message.payloadSize),
      createdAt: GoogleProtobufTimestamp(message.created), refusedAt: GoogleProtobufTimestamp(message.refused),
      reason: message.reason)
  }
}
