import Foundation
import Messages
import Storage

/// Which missions run where. A mission is run under a lease of its id, so that several processes can share a database:
/// it is claimed with the start of its first step and released with its end, and each write in between checks it.
extension MissionStore {
  /// What a process has to look at.
  struct Attention: Sendable, Hashable {
    /// The missions it has leases of and whose runs are to stop.
    var ended: [String] = []
    /// Whether a mission waits for somebody to run it.
    var isAnyWaiting = false
  }

  /// Walks the leases, of which there are few, and looks up the mission of each.
  static let ended = """
    SELECT resource FROM leases
    WHERE holder = $1
      AND NOT EXISTS (SELECT 1 FROM missions WHERE id = leases.resource AND state = $2 AND stop_wanted = 0)
    """

  /// Walks the leases too. One that has not ended may be claimed again, and its fence must not begin anew.
  private static let dropLeft = """
    DELETE FROM leases
    WHERE expires_us <= $1 AND NOT EXISTS (SELECT 1 FROM missions WHERE id = leases.resource AND state IN (\(open)))
    """

  private static let open = MissionState.allKnown.filter { !$0.isTerminal && $0 != .unspecified }
    .map { String($0.rawValue) }.joined(separator: ", ")

  func attention(of holder: LeaseHolder) async throws -> Attention {
    try await database.read { connection in
      let ended = try connection.rows(Self.ended, holder.id, Int(MissionState.running.rawValue))
      let waiting = WaitingMissions(connection: connection)
      let isAnyWaiting = try waiting.isAny(.approved) || waiting.isAny(.running)
      return Attention(
        ended: try ended.map { try $0.text("resource") },
        isAnyWaiting: try isAnyWaiting || connection.first(Self.abandoned, try connection.now()) != nil)
    }
  }

  /// Claims up to `limit` of the missions that wait, in the order of their turns, and begins the step at which each of
  /// them stands, in one transaction.
  ///
  /// Places of tools are taken within; where this throws, those of claims that came to nothing are to be given back.
  ///
  /// - Parameter broken: told of a mission that cannot be begun, before the transaction is committed. Under its lease,
  ///   which nobody renews, it stays out of the others' way for a while.
  func claim(
    by holder: LeaseHolder, limit: Int, terms: QueueTerms = QueueTerms(),
    broken: @escaping @Sendable (String, any Error) -> Void = { _, _ in }
  ) async throws -> [Claim] {
    let liveUntil = ContinuousClock.now + holder.duration
    let claimed = try await database.write { connection in
      let claiming = Claiming(holder: holder, terms: terms, broken: broken, connection: connection)
      return try claiming.claim(atMost: limit)
    }
    for one in claimed { terms.shares.began(one.mission.owner, at: one.time) }
    return claimed.map { one in
      Claim(
        mission: one.mission, sequence: one.sequence, trace: one.trace,
        lease: HeldLease(one.lease, liveUntil: liveUntil))
    }
  }

  /// Gives leases another full duration. Tells which of them are kept, and which of the others are another holder's by
  /// now; the rest was dropped with its mission's end. Drops what dead processes left of missions that have ended.
  func renew(_ leases: [Lease], of holder: LeaseHolder) async throws -> (kept: Set<Lease>, taken: Set<Lease>) {
    try await database.write { connection in
      try connection.execute(Self.dropLeft, try connection.now())
      let kept = try Lease.renew(leases, of: holder, in: connection)
      let taken = try leases.filter { lease in
        try !kept.contains(lease) && Lease.exists(lease.resource, in: connection)
      }
      return (kept, Set(taken))
    }
  }

  /// Whether nothing runs any more of what a command has interrupted or ended, and nobody who ran it can write.
  func hasStopped(_ id: String) async throws -> Bool {
    let (isOver, isLive) = try await database.read { connection in
      let row = try connection.first("SELECT state, stop_wanted FROM missions WHERE id = $1", id)
      let state = try row.map { MissionState(rawValue: Int32(clamping: try $0.int64("state"))) }
      // Whoever has a live lease of what is to run has begun it since.
      let runsAnew = try state == .running && row?.int64("stop_wanted") == 0
      return (state?.isTerminal ?? true, try !runsAnew && Lease.isLive(id, in: connection))
    }
    guard isOver, !isLive else { return !isLive }
    return try await database.write { try Lease.dropExpired(id, in: $0) }
  }
}

/// A mission that was claimed within a transaction.
private struct Claimed: Sendable {
  let mission: Mission
  /// The number of its last event.
  let sequence: Int64
  let trace: String
  let lease: Lease
  /// In microseconds since 1970.
  let time: Int64
}

/// The claims of one transaction.
private struct Claiming {
  let holder: LeaseHolder
  let terms: QueueTerms
  let broken: @Sendable (String, any Error) -> Void
  let connection: WriteConnection

  func claim(atMost limit: Int) throws -> [Claimed] {
    let now = try connection.now()
    try MissionStore.takeBack(now, connection)
    let waiting = WaitingMissions(connection: connection)
    var (choice, cursor) = try waiting.choice(terms)
    var claimed: [Claimed] = []
    while claimed.count < limit,
      let next = try choice.next(
        isOpen: { terms.places.hasPlace(for: $0) }, more: { try waiting.following($0) })
    {
      guard let one = try claim(next, now) else { continue }
      claimed.append(one)
      choice.began(next, at: now.microseconds)
    }
    terms.places.areAwaited(choice.toolsWaitedFor)
    terms.shares.cursor = cursor
    return claimed
  }

  /// Nil where it cannot be run now: somebody has claimed it or still runs it, its tool has no place, or it is broken.
  private func claim(_ next: WaitingMission, _ now: Date) throws -> Claimed? {
    guard let lease = try Lease.claim(next.id, by: holder, in: connection) else { return nil }
    guard try MissionStore.take(next.id, at: now, connection) else {
      // Another process was faster, and is done with it already.
      try MissionStore.release(lease, connection)
      return nil
    }
    do {
      guard let begun = try connection.savepoint({ try begin(next, lease) }) else { return nil }
      return Claimed(
        mission: begun.mission, sequence: begun.sequence, trace: begun.trace, lease: lease, time: now.microseconds)
    } catch let error as StorageError where !error.isOfStatement {
      throw error
    } catch {
      broken(next.id, error)
      terms.places.leave(lease)
      return nil
    }
  }

  /// Begins the step at which a mission stands; nil where that is a call of a tool that has no place.
  private func begin(
    _ next: WaitingMission, _ lease: Lease
  ) throws -> (mission: Mission, sequence: Int64, trace: String)? {
    let stored = try MissionStore.load(next.id, connection)
    guard let step = stored.mission.currentStep else { throw NothingToDo(id: next.id) }
    let tool = stored.mission.choice?.tool ?? ""
    if step == .execution, !tool.isEmpty, !terms.places.take(tool, for: lease) {
      _ = try MissionStore.change(next.id, [.wait(for: ToolPlaces.shown(tool))], connection)
      try MissionStore.enqueue(next.id, waitingFor: tool, connection)
      try lease.release(in: connection)
      return nil
    }
    let change = try MissionStore.make(next.id, [.begin(step)], connection)
    return (change.mission, change.sequence, stored.trace)
  }
}

/// A mission that is to run although all of its steps are completed.
private struct NothingToDo: Error, CustomStringConvertible {
  let id: String
  var description: String { "mission \(id) has done all of its steps, but has not ended" }
}
