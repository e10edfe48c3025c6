public import Messages
import RPC
public import Storage

/// A kind of message that a service takes in.
public struct InboxTopic: Sendable {
  public let name: String
  let take: @Sendable (Delivery, WriteConnection) throws -> Void

  /// - Parameters:
  ///   - name: The outbox topic of the sender.
  ///   - type: What its payloads are.
  ///   - take: Does what the message asks for, in the transaction in which it is noted as taken. What it throws refuses
  ///     the message for good, with nothing written. Only a `Status` that may pass (UNAVAILABLE, ABORTED,
  ///     RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED, CANCELLED) and the errors of a database that fails let the sender come
  ///     again with all that has no receipt yet. Runs on the writer's thread: it only talks to the database.
  public init<Payload: ProtobufMessage>(
    _ name: String, _ type: Payload.Type,
    take: @escaping @Sendable (_ payload: Payload, _ key: String, _ connection: WriteConnection) throws -> Void
  ) {
    self.name = name
    self.take = { delivery, connection in
      let payload: Payload
      do {
        payload = try Payload(wire: delivery.payload)
      } catch {
        throw Status(.invalidArgument, "the payload is no \(Payload.messageName): \(error)")
      }
      try take(payload, delivery.key, connection)
    }
  }
}

/// Whose fault an error is that came up while a message was taken in.
enum InboxFailure {
  /// The message will never be taken.
  case refusal(reason: String, isOurs: Bool)
  /// It concerns every message: a later delivery may succeed.
  case passing

  init(_ error: any Error) {
    switch error {
    case let status as Status:
      switch status.code {
      case .unavailable, .aborted, .resourceExhausted, .deadlineExceeded, .cancelled: self = .passing
      case .internalError, .unknown, .dataLoss, .unimplemented:
        self = .refusal(reason: "\(status)", isOurs: true)
      default: self = .refusal(reason: "\(status)", isOurs: false)
      }
    case let error as StorageError:
      self = error.isOfStatement ? .refusal(reason: "\(error.status)", isOurs: true) : .passing
    default: self = .refusal(reason: "the receiver failed on it; its log says more", isOurs: true)
    }
  }
}
