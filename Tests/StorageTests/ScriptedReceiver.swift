import Storage
import Synchronization

/// The other end of a relay, as a test writes it: takes each message id once, as an inbox does.
final class ScriptedReceiver: DeliveryTransport {
  /// What becomes of a message that arrives.
  enum Verdict {
    case take
    case refuse(String)
    /// The connection breaks before the message arrives.
    case lose
    /// The message is taken, and the connection breaks before the receipt is out.
    case takeAndBreak
    /// The message is taken and the receipt never sent, with no word about it.
    case takeInSilence
    /// It cannot even be sent.
    case cannotSend
    /// The message is taken, and the receipt is for another one.
    case confuse
  }

  struct Broken: Error {}

  struct Record: Sendable {
    /// The keys of what was taken, each message once, in order.
    var taken: [String] = []
    var ids: Set<String> = []
    /// Deliveries of a message that had been taken before.
    var repetitions = 0
    var conversations = 0
    var rows: [OutboxRow] = []
  }

  private let record = Mutex(Record())
  private let verdict: @Sendable (OutboxRow, _ conversation: Int) throws -> Verdict

  init(_ verdict: @escaping @Sendable (OutboxRow, _ conversation: Int) throws -> Verdict = { _, _ in .take }) {
    self.verdict = verdict
  }

  var seen: Record { record.withLock { $0 } }

  func converse(_ body: @escaping @Sendable (DeliveryConversation) async throws -> Void) async throws {
    let number = record.withLock { record in
      record.conversations += 1
      return record.conversations
    }
    let (receipts, answers) = AsyncThrowingStream.makeStream(of: OutboxReceipt.self)
    try await body(
      DeliveryConversation { row in
        try self.arrived(row, number, answers)
      } receipts: { each in
        for try await receipt in receipts { try each(receipt) }
      })
  }

  private func arrived(
    _ row: OutboxRow, _ conversation: Int,
    _ answers: AsyncThrowingStream<OutboxReceipt, any Error>.Continuation
  ) throws {
    switch try verdict(row, conversation) {
    case .take:
      take(row)
      answers.yield(OutboxReceipt(messageID: row.messageID, outcome: .taken))
    case .refuse(let reason): answers.yield(OutboxReceipt(messageID: row.messageID, outcome: .refused(reason)))
    case .lose:
      answers.finish(throwing: Broken())
      throw Broken()
    case .takeAndBreak:
      take(row)
      answers.finish(throwing: Broken())
    case .takeInSilence: take(row)
    case .cannotSend: throw Undeliverable("too large")
    case .confuse:
      take(row)
      answers.yield(OutboxReceipt(messageID: "another", outcome: .taken))
    }
  }

  private func take(_ row: OutboxRow) {
    record.withLock { record in
      guard record.ids.insert(row.messageID).inserted else {
        record.repetitions += 1
        return
      }
      record.taken.append(row.key)
      record.rows.append(row)
    }
  }
}
