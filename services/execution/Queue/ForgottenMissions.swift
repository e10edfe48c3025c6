import Logging
import Messages
import Storage

/// Queues, from time to time, the missions of processes that know no queue: while several processes of one database are
/// replaced one after another, those of the former version store missions that no claim would find.
struct ForgottenMissions: Sendable {
  let store: MissionStore
  var interval = Duration.seconds(30)
  let logger: Logger

  /// Ends by cancellation, or with the database.
  func run() async {
    while (try? await Task.sleep(for: interval)) != nil {
      do {
        try await store.enqueueForgotten()
      } catch StorageError.closed {
        return
      } catch {
        logger.error("the queue could not be completed; trying again", metadata: ["error": "\(error)"])
      }
    }
  }
}

extension MissionStore {
  /// Walks the index `missions_unqueued`, of what runs. What a dead process has claimed is `takeBack`'s.
  static let forgotten = """
    SELECT id FROM missions
    WHERE rank_us IS NULL AND state IN (\(MissionState.toRun))
      AND NOT EXISTS (SELECT 1 FROM leases WHERE resource = missions.id AND holder <> '')
    """

  /// Queues what is to run and is neither queued nor claimed: missions from before there was a queue, and those of
  /// processes that know none.
  func enqueueForgotten() async throws {
    guard try await database.read({ try $0.first(Self.forgotten) }) != nil else { return }
    try await database.write { connection in
      for row in try connection.rows(Self.forgotten) { try Self.enqueue(try row.text("id"), connection) }
      connection.notify(Topic.missions)
    }
  }
}
