import Foundation
import Logging
import Messages
import RPC
import Storage

/// Fails missions whose deadline has passed, in whatever state they are, and stops their runs.
///
/// It sleeps until the next deadline of all, and looks again when one was set or changed; so a deadline counts from the
/// moment it is stored. Of several processes with one database any one may be first; the others find nothing to do.
struct DeadlineKeeper: Sendable {
  /// How often to look without having been woken.
  static let pollInterval = Duration.seconds(1)
  /// How many missions are ended between two looks.
  static let batch = 100

  let store: MissionStore
  let logger: Logger
  /// Stops what runs here of a mission that has ended; must not wait.
  let stop: @Sendable (_ id: String) -> Void

  /// Ends by cancellation, or with the database.
  func run() async {
    let (stream, wakeUps) = store.database.listen(MissionStore.Topic.deadlines)
    wakeUps.yield()
    var alarm: Task<Void, Never>?
    for await _ in stream {
      alarm?.cancel()
      let pause = await look()
      alarm = Task {
        guard (try? await Task.sleep(for: pause)) != nil else { return }
        wakeUps.yield()
      }
    }
    alarm?.cancel()
  }

  /// Ends what is due, and says when to look again.
  func look() async -> Duration {
    do {
      let (due, next) = try await store.due(atMost: Self.batch)
      for mission in due { try await expire(mission) }
      return due.count < Self.batch ? min(next, Self.pollInterval) : .zero
    } catch StorageError.closed {
      return Self.pollInterval
    } catch {
      logger.error("deadlines could not be kept; trying again", metadata: ["error": "\(error)"])
      return Self.pollInterval
    }
  }

  private func expire(_ due: MissionStore.Due) async throws {
    guard let version = due.version else {
      logger.error("a mission whose deadline has passed cannot be read", metadata: ["mission": "\(due.id)"])
      return try await store.forgetDeadline(of: due.id)
    }
    do {
      guard try await store.expire(due.id, version: version) else { return }
      logger.info("mission's deadline has passed", metadata: ["mission": "\(due.id)"])
      stop(due.id)
    } catch let status as Status where status.code == .aborted {
      return  // It was changed since, its deadline perhaps too.
    }
  }
}

extension MissionStore {
  /// A mission whose deadline has passed.
  struct Due: Sendable {
    let id: String
    /// Nil where its record cannot be read.
    let version: Int64?
  }

  static let due = "SELECT id, record FROM missions WHERE deadline_us <= $1 ORDER BY deadline_us LIMIT $2"
  static let nextDeadline = """
    SELECT deadline_us FROM missions WHERE deadline_us > $1 ORDER BY deadline_us LIMIT 1
    """

  /// Up to `limit` missions that have not ended though their deadline has passed, and how long it is to the next
  /// deadline after these.
  func due(atMost limit: Int) async throws -> (due: [Due], next: Duration) {
    try await database.read { connection in
      let now = try connection.now()
      let due = try connection.rows(Self.due, now, limit).map { row in
        Due(id: try row.text("id"), version: try? Mission(wire: try row.blob("record")).version)
      }
      let next = try connection.first(Self.nextDeadline, now)?.int64("deadline_us")
      return (due, next.map { .microseconds($0 - now.microseconds) } ?? .seconds(3_600))
    }
  }

  /// Wakes those who keep deadlines where a change of a mission has set or moved one.
  static func announceDeadline(_ mission: Mission, after former: Mission?, _ connection: WriteConnection) {
    if let deadline = mission.keptDeadline, deadline != former?.keptDeadline { connection.notify(Topic.deadlines) }
  }

  /// Fails a mission whose deadline has passed, by the clock that said so: the database's, which need not agree with
  /// this process's. False where the record names a later deadline or none; the column follows it then.
  ///
  /// Throws `Status` ABORTED where the mission has another version by now.
  func expire(_ id: String, version: Int64) async throws -> Bool {
    try await database.write { connection in
      let now = try connection.now()
      let mission = try Self.make(id, expectedVersion: version, [.expire], at: now, connection).mission
      guard mission.version > version else {
        try connection.execute("UPDATE missions SET deadline_us = $2 WHERE id = $1", id, mission.keptDeadline)
        return false
      }
      try Self.endOutput(of: mission, connection)
      connection.notify(Topic.missions)
      return true
    }
  }

  func forgetDeadline(of id: String) async throws {
    try await database.write { try $0.execute("UPDATE missions SET deadline_us = NULL WHERE id = $1", id) }
  }
}
