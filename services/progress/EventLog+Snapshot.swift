import Foundation
import Messages
import Storage

extension EventLog {
  /// After how many events a snapshot is stored, so that the next one need not fold them again.
  static let foldedAtMost = 256
  /// How many events are read at a time to be folded.
  private static let readAtOnce = 512

  /// Where a mission stands; nil if no event of it was ever stored. Reads the stored snapshot and what came after it.
  func snapshot(_ missionID: String, at now: Date) async throws -> ProgressSnapshot? {
    let found = try await database.read { connection -> (stored: StoredFold, fold: MissionFold)? in
      guard let stored = try StoredFold(missionID, connection) else { return nil }
      return (stored, try Self.fold(stored.base, through: .max, connection))
    }
    guard let (stored, fold) = found else { return nil }
    if fold.sequence - stored.base.sequence > Self.foldedAtMost {
      // It only spares work: where it cannot be stored, the answer stays right.
      _ = try? await database.write { try Self.keep(fold, $0) }
    }
    var snapshot = fold.snapshot(at: now)
    snapshot.firstSequence = stored.first <= stored.last ? stored.first : 0
    try await snapshot.estimate(from: history, reportedAt: fold.reportedAt, now: now)
    return snapshot
  }

  /// A mission's row, as far as it is about what is kept.
  struct StoredFold: Sendable {
    let base: MissionFold
    let first: UInt64
    let last: UInt64

    /// Nil for an unknown mission.
    init?(_ missionID: String, _ connection: ReadConnection) throws {
      let row = try connection.first(
        "SELECT base, base_held_us, first_sequence, last_sequence FROM missions WHERE mission_id = $1", missionID)
      guard let row else { return nil }
      first = UInt64(try row.int64("first_sequence"))
      last = UInt64(try row.int64("last_sequence"))
      if let bytes = try row.blobOrNil("base") {
        base = MissionFold(
          try ProgressSnapshot(wire: bytes), heldSince: try row.dateOrNil("base_held_us"))
      } else {
        base = MissionFold(missionID)
      }
    }
  }

  /// Folds on with the events that are stored, up to and with a sequence.
  static func fold(_ base: MissionFold, through end: Int64, _ connection: ReadConnection) throws -> MissionFold {
    var fold = base
    while true {
      let rows = try connection.rows(
        """
        SELECT event FROM events WHERE mission_id = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence LIMIT $4
        """, fold.snapshot.missionId, fold.sequence, end, readAtOnce)
      for row in rows { fold.take(try ProgressEvent(wire: try row.blob("event"))) }
      if rows.count < readAtOnce { return fold }
    }
  }

  /// Stores a mission's snapshot unless a newer one is there.
  static func keep(_ fold: MissionFold, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      UPDATE missions SET base = $2, base_sequence = $3, base_held_us = $4
      WHERE mission_id = $1 AND base_sequence < $3
      """, fold.snapshot.missionId, try fold.snapshot.bytes(), fold.sequence, fold.heldSince)
  }
}
