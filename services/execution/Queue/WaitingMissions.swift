import Foundation
import Messages
import Storage

/// Reads from the queue what a choice needs: the first mission of each owner, and more of those whose turn comes.
///
/// Nothing here depends on how many missions are stored or wait: the index `missions_queue` holds only what waits, and
/// one owner's missions are skipped to find the next owner.
struct WaitingMissions {
  /// How many owners one look takes in. Where more wait, the next look goes on behind these, so that each has its turn.
  static let maximumOwners = 500
  /// How many missions of a line are read at a time, after its first.
  static let chunk = 32

  let connection: ReadConnection

  /// What somebody waits for at a state: names of tools, and the empty text for a place alone.
  static let tools = """
    WITH RECURSIVE tools (tool) AS (
      SELECT (
        SELECT waiting_tool FROM missions WHERE state = $1 AND rank_us IS NOT NULL ORDER BY waiting_tool LIMIT 1)
      UNION ALL
      SELECT (
        SELECT waiting_tool FROM missions
        WHERE state = $1 AND rank_us IS NOT NULL AND waiting_tool > tools.tool ORDER BY waiting_tool LIMIT 1)
      FROM tools WHERE tool IS NOT NULL
    )
    SELECT tool FROM tools WHERE tool IS NOT NULL
    """

  /// The first mission of each owner behind the owner `$3`.
  static let firsts = """
    WITH RECURSIVE owners (owner) AS (
      SELECT (
        SELECT owner FROM missions
        WHERE state = $1 AND waiting_tool = $2 AND rank_us IS NOT NULL AND owner > $3 ORDER BY owner LIMIT 1)
      UNION ALL
      SELECT (
        SELECT missions.owner FROM missions
        WHERE state = $1 AND waiting_tool = $2 AND rank_us IS NOT NULL AND missions.owner > owners.owner
        ORDER BY missions.owner LIMIT 1)
      FROM owners WHERE owners.owner IS NOT NULL
    )
    SELECT owners.owner, \(first("id")), \(first("rank_us")), \(first("queued_us"))
    FROM owners WHERE owners.owner IS NOT NULL LIMIT $4
    """

  private static func first(_ column: String) -> String {
    """
    (SELECT missions.\(column) FROM missions
     WHERE state = $1 AND waiting_tool = $2 AND missions.owner = owners.owner AND rank_us IS NOT NULL
     ORDER BY rank_us, id LIMIT 1) AS \(column)
    """
  }

  /// What follows one mission in its line.
  static let following = """
    SELECT id, owner, rank_us, queued_us FROM missions
    WHERE state = $1 AND waiting_tool = $2 AND owner = $3 AND rank_us IS NOT NULL AND (rank_us, id) > ($4, $5)
    ORDER BY rank_us, id LIMIT $6
    """

  /// How many wait in one line, `$4` at the most.
  static let length = """
    SELECT count(*) AS n FROM (
      SELECT 1 FROM missions
      WHERE state = $1 AND waiting_tool = $2 AND owner = $3 AND rank_us IS NOT NULL LIMIT $4) AS line
    """

  /// Of what is claimed, `queued_us` is when that was.
  static let runningByOwner = """
    SELECT missions.owner, count(*) AS n, max(missions.queued_us) AS last
    FROM leases JOIN missions ON missions.id = leases.resource
    WHERE leases.expires_us > $1 GROUP BY missions.owner
    """

  static let count = "SELECT count(*) AS n FROM missions WHERE rank_us IS NOT NULL"

  /// Whether anybody waits at a state, for a place or a tool.
  static let any = "SELECT 1 AS found FROM missions WHERE state = $1 AND rank_us IS NOT NULL LIMIT 1"

  func isAny(_ state: MissionState) throws -> Bool { try connection.first(Self.any, Int(state.rawValue)) != nil }

  /// The choice between all that wait.
  ///
  /// - Parameters:
  ///   - limit: of at most so many owners; `maximumOwners` unless somebody wants to see them all.
  ///   - everywhere: count what runs even where only one owner has anything waiting, and hold no owner.
  /// - Returns: with it, the owner behind which the next look is to begin; empty if this one has seen all.
  func choice(
    _ terms: QueueTerms, atMost limit: Int = maximumOwners, everywhere: Bool = false
  ) throws -> (choice: FairChoice, cursor: String) {
    var waiting: [WaitingMission] = []
    var cursor = ""
    for state in [MissionState.running, .approved] {
      for row in try connection.rows(Self.tools, Int(state.rawValue)) {
        let found = try firsts(state, tool: try row.text("tool"), after: terms.shares.cursor, limit: limit)
        if found.count >= limit, let last = found.last { cursor = last.owner }
        waiting += found
      }
    }
    let owners = Set(waiting.lazy.map(\.owner))
    let running = owners.count > 1 || everywhere ? try running() : [:]
    let remembered = terms.shares.lastBegun
    var lastBegun: [String: Int64] = [:]
    for owner in owners {
      guard let last = [running[owner]?.last, remembered[owner]].compactMap({ $0 }).max() else { continue }
      lastBegun[owner] = last
    }
    let choice = FairChoice(
      waiting, running: running.mapValues { $0.count }, lastBegun: lastBegun,
      penalty: Int64(terms.fairnessWeight) * (try MissionStore.ageing(connection)),
      held: everywhere ? [] : try held(waiting, atMost: terms.toolQueue))
    return (choice, cursor)
  }

  /// The owners that have as many missions waiting for tools as they may.
  private func held(_ firsts: [WaitingMission], atMost limit: Int) throws -> Set<String> {
    var counts: [String: Int] = [:]
    for first in firsts where !first.tool.isEmpty {
      let row = try connection.first(
        Self.length, Int(MissionState.running.rawValue), first.tool, first.owner, limit)
      counts[first.owner, default: 0] += try row?.int("n") ?? 0
    }
    return Set(counts.lazy.filter { $0.value >= limit }.map(\.key))
  }

  /// Those of the owners behind one, and then those of the owners up to it, as long as these are not too many.
  private func firsts(_ state: MissionState, tool: String, after owner: String, limit: Int) throws -> [WaitingMission] {
    let behind = try rows(Self.firsts, state, tool, [owner, limit])
    guard !owner.isEmpty, behind.count < limit else { return behind }
    let known = Set(behind.map(\.owner))
    return try behind
      + rows(Self.firsts, state, tool, ["", limit - behind.count]).filter { !known.contains($0.owner) }
  }

  /// What follows a mission in its line.
  func following(_ mission: WaitingMission, chunk: Int = chunk) throws -> [WaitingMission] {
    try rows(
      Self.following, mission.hasBegun ? .running : .approved, mission.tool,
      [mission.owner, mission.rank, mission.id, chunk])
  }

  private func rows(
    _ statement: String, _ state: MissionState, _ tool: String, _ arguments: [any ValueConvertible]
  ) throws -> [WaitingMission] {
    let all: [any ValueConvertible] = [Int(state.rawValue), tool] + arguments
    return try connection.rows(statement, arguments: all).map { row in
      WaitingMission(
        id: try row.text("id"), owner: try row.text("owner"), tool: tool, hasBegun: state == .running,
        rank: try row.int64("rank_us"), queued: try row.int64("queued_us"))
    }
  }

  /// How many missions of each owner run, in all processes, and when the last of them was claimed, in microseconds
  /// since 1970.
  func running() throws -> [String: (count: Int, last: Int64)] {
    try connection.rows(Self.runningByOwner, try connection.now()).reduce(into: [:]) { counts, row in
      counts[try row.text("owner")] = (try row.int("n"), try row.int64("last"))
    }
  }

  func count() throws -> Int { try connection.first(Self.count)?.int("n") ?? 0 }
}
