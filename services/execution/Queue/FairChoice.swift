/// A mission that waits to be claimed.
struct WaitingMission: Sendable, Hashable {
  let id: String
  let owner: String
  /// What it waits for beside a place; empty for nothing.
  var tool = ""
  /// It was interrupted, resumed, or gave its place back. What has begun goes before what has not: it holds a
  /// reservation, and somebody is watching it.
  var hasBegun = false
  /// Of two missions of one owner the one with the smaller rank goes first: when it was queued, in microseconds since
  /// 1970, less what its priority is worth in waiting time.
  let rank: Int64
  /// Since when it waits, in microseconds since 1970.
  let queued: Int64
}

/// Whose mission is next, without a database: chooses one after the other from what waits.
///
/// Inside an owner the rank decides: priority, which waiting adds to. Between owners their first missions compete; an
/// owner counts as waiting since it was last served, and each of its running missions puts it back by `penalty`:
///
/// ```
/// effective rank = rank + (last served − queued, if positive) + running of the owner × penalty
/// ```
///
/// So owners of equal priority take turns, however many missions one of them has and however long these wait; a higher
/// priority goes first; and as the effective rank of who is served grows while that of who waits stands still,
/// everybody's turn comes.
struct FairChoice: Sendable {
  /// What one owner has waiting for one thing, in its order.
  private struct Line: Sendable {
    let owner: Int
    let tool: String
    let hasBegun: Bool
    let isHeld: Bool
    /// In reverse: the next one is the last.
    var waiting: [WaitingMission]
  }

  private struct Owner: Sendable {
    var running: Int64
    /// When a mission of it was last begun, in microseconds since 1970.
    var lastBegun: Int64
  }

  /// What one running mission of its owner costs a waiting one, in microseconds.
  let penalty: Int64
  private var owners: [Owner] = []
  private var numbers: [String: Int] = [:]
  private var lines: [Line] = []

  /// - Parameters:
  ///   - waiting: in any order; of each owner, tool and kind at least the first one.
  ///   - running: how many missions of each owner run.
  ///   - lastBegun: when a mission of each owner was last begun, in microseconds since 1970.
  ///   - held: owners that have begun enough; only what they have begun goes on.
  init(
    _ waiting: [WaitingMission], running: [String: Int], lastBegun: [String: Int64], penalty: Int64,
    held: Set<String> = []
  ) {
    self.penalty = penalty
    struct Key: Hashable {
      let owner: Int
      let tool: String
      let hasBegun: Bool
    }
    var positions: [Key: Int] = [:]
    for mission in waiting {
      let owner = number(of: mission.owner, running, lastBegun)
      let key = Key(owner: owner, tool: mission.tool, hasBegun: mission.hasBegun)
      if let position = positions[key] {
        lines[position].waiting.append(mission)
      } else {
        positions[key] = lines.count
        let isHeld = !mission.hasBegun && held.contains(mission.owner)
        lines.append(
          Line(owner: owner, tool: mission.tool, hasBegun: mission.hasBegun, isHeld: isHeld, waiting: [mission]))
      }
    }
    for index in lines.indices { lines[index].waiting.sort { ($1.rank, $1.id) < ($0.rank, $0.id) } }
  }

  private mutating func number(of owner: String, _ running: [String: Int], _ lastBegun: [String: Int64]) -> Int {
    if let number = numbers[owner] { return number }
    owners.append(Owner(running: Int64(running[owner] ?? 0), lastBegun: lastBegun[owner] ?? .min))
    numbers[owner] = owners.count - 1
    return owners.count - 1
  }

  /// Takes the mission out that is next.
  ///
  /// - Parameters:
  ///   - isOpen: whether a tool has a place; missions that wait for another one are passed over.
  ///   - more: those that follow a mission in its line, in their order; asked for when that one was the last known.
  mutating func next(
    isOpen: (_ tool: String) -> Bool = { _ in true },
    more: (_ after: WaitingMission) throws -> [WaitingMission] = { _ in [] }
  ) rethrows -> WaitingMission? {
    guard let index = best(hasBegun: true, isOpen) ?? best(hasBegun: false, isOpen) else { return nil }
    guard let mission = lines[index].waiting.popLast() else { return nil }
    if lines[index].waiting.isEmpty { lines[index].waiting = try more(mission).reversed() }
    if lines[index].waiting.isEmpty { lines.remove(at: index) }
    return mission
  }

  private func best(hasBegun: Bool, _ isOpen: (String) -> Bool) -> Int? {
    var best: (index: Int, rank: Int64, id: String)?
    for (index, line) in lines.enumerated() where line.hasBegun == hasBegun && !line.isHeld {
      guard let first = line.waiting.last, line.tool.isEmpty || isOpen(line.tool) else { continue }
      let rank = effectiveRank(first, owners[line.owner])
      if let best, (best.rank, best.id) < (rank, first.id) { continue }
      best = (index, rank, first.id)
    }
    return best?.index
  }

  /// What was taken has begun: its owner's next one waits longer for that.
  mutating func began(_ mission: WaitingMission, at now: Int64) {
    guard let number = numbers[mission.owner] else { return }
    owners[number].running += 1
    owners[number].lastBegun = max(owners[number].lastBegun, now)
  }

  /// A running mission of an owner has ended.
  mutating func ended(of owner: String) {
    guard let number = numbers[owner] else { return }
    owners[number].running = max(0, owners[number].running - 1)
  }

  /// The rank with which a mission competes with those of other owners, in microseconds since 1970.
  func effectiveRank(_ mission: WaitingMission) -> Int64 {
    numbers[mission.owner].map { effectiveRank(mission, owners[$0]) } ?? mission.rank
  }

  private func effectiveRank(_ mission: WaitingMission, _ owner: Owner) -> Int64 {
    // Who was served at the very moment at which another's mission came waits longer than that one.
    let served = owner.lastBegun >= mission.queued ? owner.lastBegun - mission.queued + 1 : 0
    return mission.rank + served + owner.running * penalty
  }

  /// The tools that somebody still waits for.
  var toolsWaitedFor: Set<String> { Set(lines.lazy.map(\.tool)).subtracting([""]) }
}
