import Messages
public import RPC
public import Storage
import Stubs

/// Brings messages of an outbox to another service's `buddy.delivery.v1.Inbox`, over one call for as long as it holds.
public struct InboxTransport: DeliveryTransport {
  /// The longest message, in bytes, its texts included: what a call of ours carries, less the framing around it.
  static let largestMessage = 4 << 20 - 1_024

  private let inbox: InboxClient

  /// - Parameter client: Of the service that receives.
  public init(_ client: Client) { inbox = InboxClient(client) }

  public func converse(_ body: @escaping @Sendable (DeliveryConversation) async throws -> Void) async throws {
    try await inbox.deliver { requests, receipts in
      let conversation = DeliveryConversation { row in
        try await requests.write(try Self.delivery(row))
      } receipts: { each in
        for try await receipt in receipts { try each(try OutboxReceipt(receipt)) }
      }
      try await body(conversation)
    }
  }

  private static func delivery(_ row: OutboxRow) throws -> Delivery {
    let texts = [row.messageID, row.topic, row.key, row.traceParent]
    let size = texts.reduce(row.payload.count) { $0 + $1.utf8.count }
    guard size <= largestMessage else {
      throw Undeliverable("it has \(size) bytes; at most \(largestMessage) can be delivered")
    }
    return Delivery(
      id: row.messageID, topic: row.topic, key: row.key, payload: row.payload, traceParent: row.traceParent)
  }
}

extension OutboxReceipt {
  fileprivate init(_ receipt: DeliveryReceipt) throws {
    let outcome: Outcome
    switch receipt.outcome {
    case .taken, .repeated: outcome = .taken
    case .refused: outcome = .refused(receipt.reason)
    case .unspecified, .unrecognized:
      throw Status(.internalError, "the receiver answered with outcome \(receipt.outcome.protoName)")
    }
    self.init(messageID: receipt.id, outcome: outcome)
  }
}
