import Foundation
import Messages
import Storage
import TestSupport

@testable import ExecutionService

/// What the tests of the queue have in common.
extension PipelineHarness {
  static let answer = ScriptedTool { _, _ in ToolOutput(text: "42", artifacts: [], bytesRead: 1) }

  /// Stores many approved missions in one transaction, as if submitted some time ago, one after the other.
  func fill(_ owner: String, _ count: Int, since ago: Duration = .seconds(3_600), priority: Int32 = 0) async throws {
    let start = Date(timeIntervalSinceNow: -(ago / .seconds(1)))
    try await store.database.write { connection in
      let ageing = try MissionStore.ageing(connection)
      for number in 0..<count {
        let id = "\(owner) \(String(1_000_000 + number))"
        let mission = Mission(id: id, objective: "1", state: .approved, owner: owner, version: 1, priority: priority)
        let queued = start.microseconds + Int64(number)
        try connection.execute(
          """
          INSERT INTO missions (id, owner, state, priority, last_sequence, record, trace_parent, queued_us, rank_us)
          VALUES ($1, $2, $3, $4, 0, $5, '', $6, $7)
          """, id, owner, Int(MissionState.approved.rawValue), Int(priority), try mission.bytes(), queued,
          queued - Int64(priority) * ageing)
      }
    }
  }

  /// As if it had been queued that long ago.
  func backdate(_ id: String, by time: Duration) async throws {
    try await store.database.write { connection in
      try connection.execute(
        "UPDATE missions SET queued_us = queued_us - $2, rank_us = rank_us - $2 WHERE id = $1", id, time.microseconds)
    }
  }

  func queue(_ terms: QueueTerms = QueueTerms(), limit: Int = 1, owner: String = "") async throws -> [QueueEntry] {
    try await store.queue(terms, limit: limit, owner: owner, after: 0, atMost: 1_000).entries
  }

  /// Ends missions that a process runs, and gives their leases up.
  func end(_ claims: [Claim]) async throws {
    for claim in claims {
      try await store.change(claim.mission.id, under: claim.lease, [.cancel(By(actor: "test"))])
    }
  }
}
