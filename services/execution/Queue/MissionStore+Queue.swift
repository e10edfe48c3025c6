import Foundation
import Messages
import Storage

/// Who waits in the queue: what is APPROVED or RUNNING and claimed by nobody. Every way into it and out of it is here.
///
/// ```
/// submitted, approved, resumed, answered ──────────────┐
/// interrupted (its lease was released or has expired) ─┼─▶ queue (rank_us) ─┬─claim──▶ runs under a lease
/// no place for its tool (waiting_tool) ────────────────┘                    └─paused, ended──▶ out
/// ```
extension MissionStore {
  /// Makes the queue follow a command, in the command's transaction. The steps of a run, which is under a lease, change
  /// nothing about it.
  ///
  /// - Parameters:
  ///   - mission: as it is stored now.
  ///   - former: as it was before; nil for a new one.
  static func followInQueue(_ mission: Mission, after former: Mission?, _ connection: WriteConnection) throws {
    if let former, former.priority != mission.priority { try prioritise(mission, connection) }
    switch (former?.state.isToRun ?? false, mission.state.isToRun) {
    case (false, true):
      try enqueue(mission.id, connection)
    case (true, false):
      try dequeue(mission.id, connection)
    case (true, true):
      if former?.waitingFor.isEmpty == false, mission.currentStep != .execution {
        // It was changed while it waited for a tool, which it may not need any more.
        try connection.execute(
          "UPDATE missions SET waiting_tool = '' WHERE id = $1 AND rank_us IS NOT NULL", mission.id)
      }
    case (false, false):
      break
    }
  }

  /// What a rank is, in SQL; `$2` is the time.
  private static let rank = "$2 - priority * (SELECT ageing_us FROM queue_policy)"

  /// Puts a mission at the place that its priority gives it from now on.
  ///
  /// - Parameter tool: what has no place for it; empty if it waits for a place alone.
  static func enqueue(_ id: String, waitingFor tool: String = "", _ connection: WriteConnection) throws {
    try connection.execute(
      """
      UPDATE missions SET queued_us = $2, rank_us = \(rank), waiting_tool = $3
      WHERE id = $1 AND state IN (\(MissionState.toRun))
      """, id, try connection.now(), tool)
  }

  /// As `enqueue`, for what was interrupted: it keeps its place if it has one, and is left out if it is not to run.
  private static func requeue(_ id: String, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      UPDATE missions SET queued_us = $2, rank_us = \(rank), waiting_tool = ''
      WHERE id = $1 AND rank_us IS NULL AND state IN (\(MissionState.toRun))
      """, id, try connection.now())
  }

  /// Nothing is written where the mission is not in the queue.
  static func dequeue(_ id: String, _ connection: WriteConnection) throws {
    try connection.execute(
      "UPDATE missions SET rank_us = NULL, waiting_tool = '' WHERE id = $1 AND rank_us IS NOT NULL", id)
  }

  /// Takes a mission that was claimed out of the queue; false where it is not there. Since when it runs counts for its
  /// owner. Whatever was to be stopped before is not this run.
  static func take(_ id: String, at now: Date, _ connection: WriteConnection) throws -> Bool {
    try connection.execute(
      """
      UPDATE missions SET queued_us = $2, rank_us = NULL, waiting_tool = '', stop_wanted = 0
      WHERE id = $1 AND rank_us IS NOT NULL
      """, id, now) > 0
  }

  private static func prioritise(_ mission: Mission, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      UPDATE missions SET priority = $2,
        rank_us = CASE WHEN rank_us IS NULL THEN NULL
          ELSE queued_us - $2 * (SELECT ageing_us FROM queue_policy) END
      WHERE id = $1
      """, mission.id, Int(mission.priority))
  }

  // MARK: - What was interrupted

  static let abandoned = "SELECT resource FROM leases WHERE holder <> '' AND expires_us <= $1"

  /// Takes the missions of processes that have died or are frozen into the queue. Walks the leases, of which there are
  /// few.
  static func takeBack(_ now: Date, _ connection: WriteConnection) throws {
    for row in try connection.rows(abandoned, now) {
      let id = try row.text("resource")
      try connection.execute("UPDATE leases SET holder = '' WHERE resource = $1 AND expires_us <= $2", id, now)
      try requeue(id, connection)
    }
  }

  /// Gives leases back, so that the missions which are to run can be claimed at once, here or elsewhere.
  func release(_ leases: [Lease]) async throws {
    try await database.write { connection in
      for lease in leases { try Self.release(lease, connection) }
      connection.notify(Topic.missions)
    }
  }

  /// Does nothing to the mission where the lease was lost. Nobody will claim a mission again that has ended; one that
  /// is paused keeps its fence, to go on from.
  static func release(_ lease: Lease, _ connection: WriteConnection) throws {
    do {
      try lease.check(in: connection)
    } catch is LeaseLost {
      return
    }
    let row = try connection.first("SELECT state FROM missions WHERE id = $1", lease.resource)
    let state = try row.map { MissionState(rawValue: Int32(clamping: try $0.int64("state"))) }
    guard let state, !state.isTerminal else { return try lease.drop(in: connection) }
    try lease.release(in: connection)
    try requeue(lease.resource, connection)
  }

  /// Ends all leases, for a process that has the database to itself: whoever held them is dead, and what it ran goes on
  /// at once instead of when its leases expire.
  func expireLeases() async throws {
    try await database.write { try Lease.expireAll(in: $0) }
    try await enqueueForgotten()
  }

  // MARK: - Ageing

  /// Sets how long a mission has to wait for what one point of priority is worth, for all processes of the database,
  /// and ranks anew what waits.
  func setAgeing(_ interval: Duration) async throws {
    let microseconds = interval.microseconds
    try await database.write { connection in
      guard try Self.ageing(connection) != microseconds else { return }
      try connection.execute("UPDATE queue_policy SET ageing_us = $1", microseconds)
      try connection.execute(
        "UPDATE missions SET rank_us = queued_us - priority * $1 WHERE rank_us IS NOT NULL", microseconds)
    }
  }

  /// In microseconds.
  static func ageing(_ connection: some ReadConnection) throws -> Int64 {
    try connection.first("SELECT ageing_us FROM queue_policy")?.int64("ageing_us") ?? 10_000_000
  }
}

extension MissionState {
  /// Whether somebody has to run it, if nobody does.
  var isToRun: Bool { self == .approved || self == .running }

  /// The same, as a list for SQL.
  static let toRun = [MissionState.approved, .running].map { String($0.rawValue) }.joined(separator: ", ")
}

extension Duration {
  var microseconds: Int64 { Int64(self / .microseconds(1)) }
}

extension Date {
  /// Since 1970, as columns that end in `_us` hold it.
  var microseconds: Int64 { Int64((timeIntervalSince1970 * 1_000_000).rounded()) }
}
