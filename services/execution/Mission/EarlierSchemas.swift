import Foundation
import Messages
import Storage

/// What a database of an earlier version holds in another form.
extension MissionStore {
  /// Events that were refused used to be kept under a topic of their own.
  static let refusedProgress = """
    UPDATE outbox SET topic = 'progress', refused_us = created_us, refusal = 'refused before reasons were kept'
    WHERE topic = 'progress-refused';
    """

  /// Moves submissions to the table of idempotency keys, which wants a digest of the request that SQL cannot make. To
  /// be called before the first mission is submitted. The answer that was given then is lost; the mission as it is now
  /// stands for it, as it did when such a key came again.
  func moveSubmissions() async throws {
    while try await database.write({ try Self.moveSubmissions(atMost: 200, $0) }) > 0 {}
  }

  private static func moveSubmissions(atMost limit: Int, _ connection: WriteConnection) throws -> Int {
    let rows = try connection.rows(
      """
      SELECT s.owner, s.idempotency_key, s.request, m.record FROM submissions s JOIN missions m ON m.id = s.mission_id
      LIMIT $1
      """, limit)
    for row in rows {
      let (owner, key) = (try row.text("owner"), try row.text("idempotency_key"))
      let request = try SubmitMissionRequest(wire: try row.blob("request"))
      let record = try row.blob("record")
      let created = try Mission(wire: record).createdAt?.date ?? .distantPast
      try Idempotency.keep(
        record, owner: owner, key: key, body: try request.bytes(), created: created, in: connection)
      try connection.execute("DELETE FROM submissions WHERE owner = $1 AND idempotency_key = $2", owner, key)
    }
    return rows.count
  }
}
