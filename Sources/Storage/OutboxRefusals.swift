public import Foundation

/// Messages that their receiver refused for good. They are set aside, where they block nothing, until somebody has
/// looked at them and has them delivered again or dropped.
extension Outbox {
  /// Those behind row number `after`, oldest first.
  public static func refused(after id: Int64, limit: Int, in connection: ReadConnection) throws -> [RefusedMessage] {
    try connection.all(
      RefusedMessage.self,
      "SELECT \(RefusedMessage.columns) FROM outbox WHERE refused_us IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
      id, limit)
  }

  /// Puts a message back to be delivered again, behind all that wait: its order among the messages of its key is lost.
  ///
  /// Returns what it was; nil if none of this id is set aside.
  public static func retry(_ messageID: String, in connection: WriteConnection) throws -> RefusedMessage? {
    guard let message = try refused(messageID, connection) else { return nil }
    // A row of its own: relays that have gone past the old one's number find it, and a late refusal of the earlier
    // delivery does not.
    try connection.execute(
      """
      INSERT INTO outbox (message_id, topic, key, payload, trace_parent, created_us)
      SELECT message_id, topic, key, payload, trace_parent, created_us FROM outbox WHERE id = $1
      """, message.id)
    try connection.execute("DELETE FROM outbox WHERE id = $1", message.id)
    connection.notify(message.topic)
    return message
  }

  /// Deletes a message that was set aside. Returns what it was; nil if there is none of this id.
  public static func drop(_ messageID: String, in connection: WriteConnection) throws -> RefusedMessage? {
    guard let message = try refused(messageID, connection) else { return nil }
    try connection.execute("DELETE FROM outbox WHERE id = $1", message.id)
    return message
  }

  private static func refused(_ messageID: String, _ connection: ReadConnection) throws -> RefusedMessage? {
    try connection.first(
      RefusedMessage.self,
      "SELECT \(RefusedMessage.columns) FROM outbox WHERE refused_us IS NOT NULL AND message_id = $1", messageID)
  }

  /// Deletes messages that were delivered.
  static func delete(_ ids: [Int64], in connection: WriteConnection) throws {
    // A few statements of one text, instead of one statement for each row or a new text for each count.
    let size = 32
    let places = (1...size).map { "$\($0)" }.joined(separator: ", ")
    for start in stride(from: 0, to: ids.count, by: size) {
      let chunk = ids[start..<min(start + size, ids.count)]
      if chunk.count == 1 {
        try connection.execute("DELETE FROM outbox WHERE id = $1", chunk[start])
      } else {
        let padded = chunk + Array(repeating: chunk[start], count: size - chunk.count)
        try connection.execute("DELETE FROM outbox WHERE id IN (\(places))", arguments: Array(padded))
      }
    }
  }

  /// Sets a message aside; false if that was done before, by another process for example.
  static func setAside(_ id: Int64, reason: String, in connection: WriteConnection) throws -> Bool {
    try connection.execute(
      "UPDATE outbox SET refused_us = $2, refusal = $3 WHERE id = $1 AND refused_us IS NULL", id, Date(), reason) == 1
  }
}

/// A message that was set aside.
public struct RefusedMessage: RowDecodable, Hashable {
  static let columns = "id, message_id, topic, key, length(payload) AS payload_size, created_us, refused_us, refusal"

  /// Its row's number; a page of a list begins behind one.
  public let id: Int64
  public let messageID: String
  public let topic: String
  public let key: String
  /// In bytes.
  public let payloadSize: Int
  public let created: Date
  public let refused: Date
  /// The receiver's words.
  public let reason: String

  public init(row: Row) throws {
    id = try row.int64("id")
    messageID = try row.text("message_id")
    topic = try row.text("topic")
    key = try row.text("key")
    payloadSize = try row.int("payload_size")
    created = try row.date("created_us")
    refused = try row.date("refused_us")
    reason = try row.textOrNil("refusal") ?? ""
  }
}
