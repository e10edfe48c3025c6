public import Foundation

/// Messages to others, written in the same transaction as the state they tell about: both are durable or neither.
/// An ``OutboxRelay`` delivers them.
public enum Outbox {
  /// The table, for a service's migrations: `Migration(2, "outbox", sql: Outbox.schema)`.
  public static let schema = """
    CREATE TABLE outbox (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      topic TEXT NOT NULL,
      key TEXT NOT NULL,
      payload BLOB NOT NULL,
      created_us BIGINT NOT NULL
    );
    CREATE INDEX outbox_by_topic ON outbox (topic, id);
    """

  /// What the table has besides, for the migration after ``schema``: an id by which a receiver recognises a repetition,
  /// the trace a message belongs to, and when and why it was refused for good.
  public static let schema2 = """
    ALTER TABLE outbox ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN trace_parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN refused_us BIGINT;
    ALTER TABLE outbox ADD COLUMN refusal TEXT;
    UPDATE outbox SET message_id = 'row-' || CAST(id AS TEXT) || '-' || CAST(created_us AS TEXT);
    CREATE INDEX outbox_refused ON outbox (id) WHERE refused_us IS NOT NULL;

    """

  /// Adds a message to the closure's own transaction and wakes the topic's relay once it is committed.
  ///
  /// - Parameters:
  ///   - topic: Decides which relay delivers it and what the receiver does with it.
  ///   - key: What the message is about, a mission's id for example. Messages of one key arrive in the order of adding.
  ///   - traceParent: W3C Trace Context of what caused it; empty if that is not traced.
  public static func add(
    topic: String, key: String, payload: [UInt8], traceParent: String = "", in connection: WriteConnection
  ) throws {
    let now = Date()
    try connection.execute(
      """
      INSERT INTO outbox (message_id, topic, key, payload, trace_parent, created_us) VALUES ($1, $2, $3, $4, $5, $6)
      """, messageID(now), topic, key, payload, traceParent, now)
    connection.notify(topic)
  }

  /// How many messages of a topic wait to be delivered; those that were refused do not wait.
  public static func waiting(topic: String, in connection: ReadConnection) throws -> Int {
    try connection.first("SELECT count(*) AS n FROM outbox WHERE topic = $1 AND refused_us IS NULL", topic)?
      .int("n") ?? 0
  }

  /// Every topic that has a message, in the order of their names.
  public static func statistics(in connection: ReadConnection) throws -> [OutboxStatistics] {
    try connection.all(
      OutboxStatistics.self,
      """
      SELECT topic, count(*) - count(refused_us) AS waiting, count(refused_us) AS refused,
        min(CASE WHEN refused_us IS NULL THEN created_us END) AS oldest_us
      FROM outbox GROUP BY topic ORDER BY topic
      """)
  }

  /// A UUID of version 7 (RFC 9562, section 5.7): random, behind the time in milliseconds. Messages arrive about in the
  /// order of their ids, so a receiver's index of them grows at its end and its old part stays off the disk's way.
  private static func messageID(_ now: Date) -> String {
    let milliseconds = UInt64(max(0, now.timeIntervalSince1970 * 1_000))
    var id = UUID().uuid
    withUnsafeMutableBytes(of: &id) { bytes in
      for index in 0..<6 { bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> (40 - 8 * UInt64(index))) }
      bytes[6] = bytes[6] & 0x0F | 0x70
    }
    return UUID(uuid: id).uuidString.lowercased()
  }
}

/// A message on its way out.
public struct OutboxRow: RowDecodable, Hashable {
  /// Grows with every message of the database, with gaps.
  public let id: Int64
  /// Unique to the message, wherever it goes.
  public let messageID: String
  public let topic: String
  public let key: String
  public let payload: [UInt8]
  /// W3C Trace Context; empty where there is none.
  public let traceParent: String
  public let created: Date

  public init(row: Row) throws {
    id = try row.int64("id")
    messageID = try row.text("message_id")
    topic = try row.text("topic")
    key = try row.text("key")
    payload = try row.blob("payload")
    traceParent = try row.text("trace_parent")
    created = try row.date("created_us")
  }
}

/// How a topic of the outbox stands.
public struct OutboxStatistics: RowDecodable, Hashable {
  public let topic: String
  /// Messages that are to be delivered.
  public let waiting: Int
  /// When the oldest of those was added; nil if none waits.
  public let oldest: Date?
  /// Messages that were refused for good and set aside.
  public let refused: Int

  public init(row: Row) throws {
    topic = try row.text("topic")
    waiting = try row.int("waiting")
    oldest = try row.dateOrNil("oldest_us")
    refused = try row.int("refused")
  }
}
