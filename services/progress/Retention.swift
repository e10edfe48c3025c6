import Foundation
import Messages
import Storage

/// Deletes events that need not be kept: those of missions that ended long ago, and the older ones of missions that
/// have very many. Where a mission stands is folded from them first, and stays.
extension EventLog {
  /// Deletes up to `limit` events of missions that ended before a time; gives how many, or how many missions were
  /// looked at if that is more.
  func pruneEnded(before time: Date, limit: Int, _ connection: WriteConnection) throws -> Int {
    // Those whose end is not known yet count as ended long ago until it is looked up.
    let missions = try connection.rows(
      "SELECT mission_id FROM missions WHERE ended_us < $1 ORDER BY ended_us LIMIT $2", time, limit)
    var work = 0
    for mission in missions where work < limit {
      let id = try mission.text("mission_id")
      guard let stored = try StoredFold(id, connection) else { continue }
      let cut = min(stored.last, stored.first + UInt64(limit - work) - 1)
      let fold = try Self.fold(stored.base, through: Int64(clamping: cut), connection)
      if cut == stored.last {
        let end = fold.snapshot.finishedAt?.date ?? .distantPast
        let isDue = end < time
        try connection.execute(
          "UPDATE missions SET ended_us = $2 WHERE mission_id = $1", id, isDue ? nil : end)
        guard isDue else {
          work += 1
          continue
        }
      }
      work += max(1, try Self.delete(through: cut, of: id, fold, connection))
    }
    return work
  }

  /// Deletes up to `limit` events of missions that have more than they may; gives how many.
  func pruneLong(limit: Int, _ connection: WriteConnection) throws -> Int {
    let missions = try connection.rows("SELECT mission_id FROM missions WHERE is_long = 1 LIMIT 20")
    var work = 0
    for mission in missions where work < limit {
      let id = try mission.text("mission_id")
      guard let stored = try StoredFold(id, connection) else { continue }
      let wanted = stored.last - min(stored.last, UInt64(eventsPerMission))
      let cut = min(wanted, stored.first + UInt64(limit - work) - 1)
      if cut == wanted {
        try connection.execute("UPDATE missions SET is_long = 0 WHERE mission_id = $1", id)
      }
      guard cut >= stored.first else { continue }
      let fold = try Self.fold(stored.base, through: Int64(clamping: cut), connection)
      work += try Self.delete(through: cut, of: id, fold, connection)
    }
    return work
  }

  /// - Parameter fold: of all that is deleted, at least.
  private static func delete(
    through sequence: UInt64, of mission: String, _ fold: MissionFold, _ connection: WriteConnection
  ) throws -> Int {
    try keep(fold, connection)
    // A mission's positions rise with its sequences.
    let newest = try connection.first(
      "SELECT position FROM events WHERE mission_id = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1", mission,
      sequence)
    if let newest {
      try connection.execute(
        "UPDATE newest_position SET pruned_position = $1 WHERE id = 1 AND pruned_position < $1",
        try newest.int64("position"))
    }
    try connection.execute(
      "UPDATE missions SET first_sequence = $2 WHERE mission_id = $1 AND first_sequence < $2", mission, sequence + 1)
    return try connection.execute(
      "DELETE FROM events WHERE mission_id = $1 AND sequence <= $2", mission, sequence)
  }
}
