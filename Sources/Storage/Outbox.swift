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

  /// Adds a message to the closure's own transaction and wakes the topic's relay once it is committed.
  ///
  /// - Parameters:
  ///   - topic: Which relay delivers it, in the order of adding.
  ///   - key: What the message is about, for the receiver: a mission's id, or what makes it recognise a repetition.
  public static func add(topic: String, key: String, payload: [UInt8], in connection: WriteConnection) throws {
    try connection.execute(
      "INSERT INTO outbox (topic, key, payload, created_us) VALUES ($1, $2, $3, $4)", topic, key, payload, Date())
    connection.notify(topic)
  }

  /// How many messages of a topic wait to be delivered.
  public static func waiting(topic: String, in connection: ReadConnection) throws -> Int {
    try connection.first("SELECT count(*) AS n FROM outbox WHERE topic = $1", topic)?.int("n") ?? 0
  }
}

/// A message on its way out.
public struct OutboxRow: RowDecodable, Hashable {
  /// Grows with every message of the database, with gaps.
  public let id: Int64
  public let topic: String
  public let key: String
  public let payload: [UInt8]
  public let created: Date

  public init(row: Row) throws {
    id = try row.int64("id")
    topic = try row.text("topic")
    key = try row.text("key")
    payload = try row.blob("payload")
    created = try row.date("created_us")
  }
}
