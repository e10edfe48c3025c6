import Logging
import Synchronization

/// One conversation of a relay with its receiver, from its first message to its end.
final class OutboxConversation: Sendable {
  private struct Sent {
    let row: Int64
    let messageID: String
    let topic: String
    let key: String
  }

  private struct Settled {
    let sent: Sent
    let outcome: OutboxReceipt.Outcome
  }

  private struct State {
    /// Sent, in order, and without a receipt.
    var unreceipted: ArraySlice<Sent> = []
    /// Receipted, and still in the outbox.
    var settled: [Settled] = []
    /// How many of the settled are being deleted.
    var settling = 0
    var hasReceipts = false
    /// When something last came from the receiver, or began to be due.
    var lastSign = ContinuousClock.now
  }

  private let relay: OutboxRelay
  /// There may be messages to send, or room for them.
  private let news: WakeUp
  /// There are receipts.
  private let receipts = WakeUp()
  private let state = Mutex(State())

  init(relay: OutboxRelay, news: WakeUp) {
    self.relay = relay
    self.news = news
  }

  var hasReceipts: Bool { state.withLock { $0.hasReceipts } }
  var hasUnreceipted: Bool { state.withLock { !$0.unreceipted.isEmpty } }

  /// Converses until either side ends it; what was receipted by then is deleted in any case.
  func run(_ conversation: DeliveryConversation) async throws {
    state.withLock { $0.lastSign = .now }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await self.send(conversation) }
        group.addTask { try await conversation.receipts { try self.take($0) } }
        group.addTask { try await self.settle() }
        group.addTask { try await self.watch() }
        try await group.next()
      }
    } catch {
      try? await settleAll()
      throw error
    }
    try await settleAll()
  }

  // MARK: - Out

  private func send(_ conversation: DeliveryConversation) async throws {
    // A restart begins with the oldest row: what the conversation before has sent for nothing comes again.
    var last: Int64 = 0
    repeat {
      while true {
        let limit = min(room, relay.options.batch)
        let rows = try await limit > 0 ? relay.next(after: last, limit: limit) : []
        if rows.isEmpty { break }
        for row in rows {
          last = row.id
          try await send(row, conversation)
        }
      }
    } while await news.sleep()
  }

  private func send(_ row: OutboxRow, _ conversation: DeliveryConversation) async throws {
    let sent = Sent(row: row.id, messageID: row.messageID, topic: row.topic, key: row.key)
    state.withLock { state in
      if state.unreceipted.isEmpty { state.lastSign = .now }
      state.unreceipted.append(sent)
    }
    do {
      try await conversation.send(row)
    } catch let error as Undeliverable {
      state.withLock { state in
        _ = state.unreceipted.popLast()
        state.settled.append(Settled(sent: sent, outcome: .refused(error.reason)))
      }
      receipts.raise()
    }
  }

  private var room: Int {
    state.withLock { relay.options.window - $0.unreceipted.count - $0.settled.count - $0.settling }
  }

  // MARK: - In

  private func take(_ receipt: OutboxReceipt) throws {
    try state.withLock { state in
      guard let sent = state.unreceipted.first, sent.messageID == receipt.messageID else {
        throw DeliveryFailure.outOfOrder(expected: state.unreceipted.first?.messageID, found: receipt.messageID)
      }
      state.unreceipted.removeFirst()
      state.settled.append(Settled(sent: sent, outcome: receipt.outcome))
      state.hasReceipts = true
      state.lastSign = .now
    }
    receipts.raise()
  }

  private func settle() async throws {
    while await receipts.sleep() {
      try? await Task.sleep(for: relay.options.gathering)
      try await settleAll()
      news.raise()
    }
  }

  /// Deletes what was taken, and sets aside what was refused, in one write.
  private func settleAll() async throws {
    let settled = state.withLock { state in
      defer { state.settled = [] }
      state.settling += state.settled.count
      return state.settled
    }
    defer { state.withLock { $0.settling -= settled.count } }
    guard !settled.isEmpty else { return }
    let setAside = try await relay.database.write { connection in
      try Outbox.delete(settled.filter { $0.outcome == .taken }.map(\.sent.row), in: connection)
      return try settled.filter { one in
        guard case .refused(let reason) = one.outcome else { return false }
        return try Outbox.setAside(one.sent.row, reason: reason, in: connection)
      }
    }
    for one in setAside { log(one) }
  }

  private func log(_ refused: Settled) {
    guard case .refused(let reason) = refused.outcome else { return }
    relay.logger?.error(
      "a message was refused and set aside",
      metadata: [
        "destination": "\(relay.destination)", "topic": "\(refused.sent.topic)", "key": "\(refused.sent.key)",
        "message": "\(refused.sent.messageID)", "reason": "\(reason)",
      ])
  }

  /// A connection can die without a word; then only the silence tells.
  private func watch() async throws {
    let limit = relay.options.receiptTimeout
    while true {
      try await Task.sleep(for: limit / 4)
      let isSilent = state.withLock { !$0.unreceipted.isEmpty && $0.lastSign.duration(to: .now) > limit }
      if isSilent { throw DeliveryFailure.silent(limit) }
    }
  }
}
