import Foundation
import Messages
import Storage

/// A part of the queue.
struct QueueListing: Sendable {
  /// The last position that is told; what waits behind it is only counted.
  static let deepest = 10_000

  var entries: [QueueEntry] = []
  /// Whether there are more entries behind these.
  var hasMore = false
  /// How many missions wait in all.
  var waiting = 0
}

extension MissionStore {
  /// The queue in the order in which its missions will be claimed, as `FairChoice` makes it, behind a position.
  ///
  /// - Parameters:
  ///   - limit: how many missions run at a time.
  ///   - owner: only this one's; empty for all.
  func queue(
    _ terms: QueueTerms, limit: Int, owner: String, after: Int, atMost count: Int
  ) async throws -> QueueListing {
    try await database.read { connection in
      let waiting = WaitingMissions(connection: connection)
      var forecast = try QueueForecast(waiting, terms, limit: limit)
      var listing = QueueListing(waiting: try waiting.count())
      while forecast.position < QueueListing.deepest, let entry = try forecast.next(waiting) {
        guard entry.position > after, owner.isEmpty || entry.owner == owner else { continue }
        guard listing.entries.count < count else {
          listing.hasMore = true
          break
        }
        listing.entries.append(entry)
      }
      return listing
    }
  }

  func countWaiting() async throws -> Int {
    try await database.read { try WaitingMissions(connection: $0).count() }
  }
}

/// Takes one mission after the other out of the queue, as if always the one that has run longest ended next.
private struct QueueForecast {
  private var choice: FairChoice
  /// For the numbers that are shown: as things are now.
  private let present: FairChoice
  /// The owners of what runs, the next one to end in front.
  private var running: [String]
  private var ended = 0
  private let limit: Int
  private let ageing: Int64
  private let now: Int64
  private(set) var position = 0

  init(_ waiting: WaitingMissions, _ terms: QueueTerms, limit: Int) throws {
    present = try waiting.choice(terms, atMost: QueueListing.deepest, everywhere: true).choice
    choice = present
    running = try waiting.running().sorted { $0.key < $1.key }
      .flatMap { Array(repeating: $0.key, count: $0.value.count) }
    self.limit = max(1, limit, running.count)
    ageing = try MissionStore.ageing(waiting.connection)
    now = try waiting.connection.now().microseconds
  }

  mutating func next(_ waiting: WaitingMissions) throws -> QueueEntry? {
    if running.count - ended >= limit {
      choice.ended(of: running[ended])
      ended += 1
    }
    guard let mission = try choice.next(more: { try waiting.following($0) }) else { return nil }
    position += 1
    // One after the other, so that owners take turns here as they will.
    choice.began(mission, at: now + Int64(position))
    running.append(mission.owner)
    return entry(of: mission)
  }

  private func entry(of mission: WaitingMission) -> QueueEntry {
    QueueEntry(
      missionId: mission.id, owner: mission.owner,
      priority: Int32(clamping: Int((Double(mission.queued - mission.rank) / Double(ageing)).rounded())),
      effectivePriority: Double(now - present.effectiveRank(mission)) / Double(ageing),
      waitingSince: GoogleProtobufTimestamp(Date(timeIntervalSince1970: Double(mission.queued) / 1_000_000)),
      waitingFor: mission.tool.isEmpty ? "a place" : mission.tool, position: Int64(position))
  }
}
