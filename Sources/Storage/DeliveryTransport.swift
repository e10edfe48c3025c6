/// How messages of an outbox get to a receiver. Storage knows no network: a service brings this along.
public protocol DeliveryTransport: Sendable {
  /// Opens a conversation with the receiver, runs `body` in it and ends it. Throws what `body` throws, and whatever is
  /// wrong with the connection.
  func converse(_ body: @escaping @Sendable (DeliveryConversation) async throws -> Void) async throws
}

/// Messages go out in order, and each is answered with one receipt, in the same order.
public struct DeliveryConversation: Sendable {
  public typealias Send = @Sendable (OutboxRow) async throws -> Void
  public typealias Receipts = @Sendable (_ each: @Sendable (OutboxReceipt) throws -> Void) async throws -> Void

  let send: Send
  let receipts: Receipts

  /// - Parameters:
  ///   - send: Sends one message; waits while the receiver is slow. Throws ``Undeliverable`` for a message that cannot
  ///     go out at all; any other error ends the conversation.
  ///   - receipts: Calls `each` with every receipt, and returns when the receiver ends the conversation.
  public init(send: @escaping Send, receipts: @escaping Receipts) {
    self.send = send
    self.receipts = receipts
  }
}

/// What a receiver says of one message.
public struct OutboxReceipt: Sendable, Hashable {
  public enum Outcome: Sendable, Hashable {
    /// It is taken, now or by an earlier delivery.
    case taken
    /// It will never be taken, for this reason.
    case refused(String)
  }

  public let messageID: String
  public let outcome: Outcome

  public init(messageID: String, outcome: Outcome) {
    self.messageID = messageID
    self.outcome = outcome
  }
}

/// A message that cannot go out, however often it is tried: it is too large for the transport, for example.
public struct Undeliverable: Error, Sendable, Hashable {
  public let reason: String

  public init(_ reason: String) { self.reason = reason }
}

/// Why a conversation was given up.
enum DeliveryFailure: Error, CustomStringConvertible {
  case silent(Duration)
  case outOfOrder(expected: String?, found: String)

  var description: String {
    switch self {
    case .silent(let limit): "the receiver has answered no message for \(limit)"
    case .outOfOrder(let expected?, let found): "the receiver answered \(found) where \(expected) was to be answered"
    case .outOfOrder(nil, let found): "the receiver answered \(found), which was not sent"
    }
  }
}
