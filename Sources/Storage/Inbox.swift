public import Foundation

/// The ids of the messages that were taken in, so that each is taken once however often it comes: an id is stored in
/// the same transaction as what its message changed.
public enum Inbox {
  /// The table, for a service's migrations: `Migration(2, "inbox", sql: Inbox.schema)`.
  public static let schema = """
    CREATE TABLE inbox (
      message_id TEXT NOT NULL PRIMARY KEY,
      taken_us BIGINT NOT NULL
    );
    CREATE INDEX inbox_by_time ON inbox (taken_us);
    """

  /// Notes that a message is taken; false if it was before, and nothing is to be done.
  public static func take(_ messageID: String, in connection: WriteConnection) throws -> Bool {
    try connection.execute(
      "INSERT INTO inbox (message_id, taken_us) VALUES ($1, $2) ON CONFLICT (message_id) DO NOTHING",
      messageID, Date()) == 1
  }

  /// Forgets up to `limit` messages that were taken before `time`: no sender has them any more, or so it is trusted.
  /// Returns how many.
  public static func prune(before time: Date, limit: Int, in connection: WriteConnection) throws -> Int {
    try connection.execute(
      "DELETE FROM inbox WHERE message_id IN (SELECT message_id FROM inbox WHERE taken_us < $1 LIMIT $2)", time, limit)
  }
}
