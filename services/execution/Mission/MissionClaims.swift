import Foundation
import Messages
import Storage

/// Which missions run where. A mission is run under a lease of its id, so that several processes can share a database:
/// it is claimed with the start of its first step and released with its end, and each write in between checks it.
extension MissionStore {
  /// What a process has to look at.
  struct Attention: Sendable, Hashable {
    /// The missions it has leases of and which are not to run any more.
    var ended: [String] = []
    /// Whether a mission waits for somebody to run it.
    var isAnyWaiting = false
  }

  /// Walks the leases, of which there are few, and looks up the mission of each.
  static let ended = """
    SELECT resource FROM leases
    WHERE holder = $1 AND NOT EXISTS (SELECT 1 FROM missions WHERE id = leases.resource AND state = $2)
    """

  /// Walks the leases too. What is not RUNNING is not in the middle of anything that its fence would have to guard.
  private static let dropLeft = """
    DELETE FROM leases
    WHERE expires_us <= $1 AND NOT EXISTS (SELECT 1 FROM missions WHERE id = leases.resource AND state = $2)
    """

  func attention(of holder: LeaseHolder) async throws -> Attention {
    try await database.read { connection in
      let ended = try connection.rows(Self.ended, holder.id, Int(MissionState.running.rawValue))
      return Attention(
        ended: try ended.map { try $0.text("resource") },
        isAnyWaiting: try !Self.waiting(limit: 1, connection).isEmpty)
    }
  }

  /// Claims up to `limit` of the missions that wait, and begins the step at which each of them stands, in one
  /// transaction.
  ///
  /// - Parameter broken: told of a mission that cannot be begun, before the transaction is committed. Under its lease,
  ///   which nobody renews, it stays out of the others' way for a while.
  func claim(
    by holder: LeaseHolder, limit: Int, broken: @escaping @Sendable (String, any Error) -> Void = { _, _ in }
  ) async throws -> [Claim] {
    let liveUntil = ContinuousClock.now + holder.duration
    let claimed = try await database.write { connection in
      try Self.waiting(limit: limit, connection).compactMap { id -> (Begun, Lease)? in
        guard let lease = try Lease.claim(id, by: holder, in: connection) else { return nil }
        do {
          return try connection.savepoint { try Self.begin(id, connection) }.map { ($0, lease) }
        } catch let error as StorageError where !error.isOfStatement {
          throw error
        } catch {
          broken(id, error)
          return nil
        }
      }
    }
    return claimed.map { begun, lease in
      Claim(mission: begun.mission, sequence: begun.sequence, trace: begun.trace, lease: HeldLease(lease, liveUntil: liveUntil))
    }
  }

  static let waiting = """
    SELECT missions.id FROM missions LEFT JOIN leases ON leases.resource = missions.id
    WHERE missions.state = $1 AND (leases.expires_us IS NULL OR leases.expires_us <= $2)
    ORDER BY missions.priority DESC, missions.id LIMIT $3
    """

  /// The missions that are to run and which nobody runs, those to run first in front.
  private static func waiting(limit: Int, _ connection: some ReadConnection) throws -> [String] {
    let now = try connection.now()
    var found: [String] = []
    // One statement for each state, as each then follows the index `missions_by_state` and ends at its limit.
    for state in [MissionState.running, .approved] where found.count < limit {
      found += try connection.rows(waiting, Int(state.rawValue), now, limit - found.count).map { try $0.text("id") }
    }
    return found
  }

  /// Begins the step at which a mission stands; nil where it has done all of them.
  private static func begin(_ id: String, _ connection: WriteConnection) throws -> Begun? {
    let stored = try load(id, connection)
    guard let step = stored.mission.currentStep else { return nil }
    return (try change(id, [.begin(step)], connection), try load(id, connection).sequence, stored.trace)
  }

  private typealias Begun = (mission: Mission, sequence: Int64, trace: String)

  /// Ends all leases, for a process that has the database to itself: whoever held them is dead, and what it ran goes on
  /// at once instead of when its leases expire.
  func expireLeases() async throws {
    try await database.write { try Lease.expireAll(in: $0) }
  }

  /// Gives leases back, so that the missions which are not at their end can be claimed at once, here or elsewhere.
  func release(_ leases: [Lease]) async throws {
    try await database.write { connection in
      for lease in leases {
        if try Self.load(lease.resource, connection).mission.state.isTerminal {
          try lease.drop(in: connection)
        } else {
          try lease.release(in: connection)
        }
      }
      connection.notify(Topic.missions)
    }
  }

  /// Gives leases another full duration. Tells which of them are kept, and which of the others are another holder's by
  /// now; the rest was dropped with its mission's end. Drops what dead processes left of missions that have ended.
  func renew(_ leases: [Lease], of holder: LeaseHolder) async throws -> (kept: Set<Lease>, taken: Set<Lease>) {
    try await database.write { connection in
      try connection.execute(Self.dropLeft, try connection.now(), Int(MissionState.running.rawValue))
      let kept = try Lease.renew(leases, of: holder, in: connection)
      let taken = try leases.filter { lease in
        try !kept.contains(lease) && Lease.exists(lease.resource, in: connection)
      }
      return (kept, Set(taken))
    }
  }

  /// Whether nobody runs a mission that was ended, and nobody who did can write any more.
  func hasStopped(_ id: String) async throws -> Bool {
    let isLive = try await database.read { try Lease.isLive(id, in: $0) }
    guard !isLive else { return false }
    return try await database.write { try Lease.dropExpired(id, in: $0) }
  }
}
