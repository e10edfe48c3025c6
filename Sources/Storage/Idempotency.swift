import Crypto
public import Foundation

/// Replies kept by the key their request came with, so that a request that is repeated does nothing a second time.
public enum Idempotency {
  /// The table, for a service's migrations: `Migration(n, "idempotency", sql: Idempotency.schema)`.
  public static let schema = """
    CREATE TABLE idempotency (
      owner TEXT NOT NULL,
      key TEXT NOT NULL,
      body_sha256 BLOB NOT NULL,
      reply BLOB NOT NULL,
      created_us BIGINT NOT NULL,
      PRIMARY KEY (owner, key)
    );
    CREATE INDEX idempotency_by_time ON idempotency (created_us);
    """

  /// The key was used with another body before.
  public struct AnotherBody: Error, Hashable, CustomStringConvertible {
    public let key: String
    public var description: String { "the idempotency key \"\(key)\" was used for another request before" }
  }

  /// Does something once for an owner's key, in the closure's own transaction.
  ///
  /// - Parameters:
  ///   - body: The request; the same request must give the same bytes.
  ///   - make: Does it and gives the reply.
  /// - Returns: What `make` gave, the first time or now.
  /// - Throws: ``AnotherBody`` if the key came with another body; what `make` throws, and the key remains unused.
  public static func once(
    owner: String, key: String, body: [UInt8], in connection: WriteConnection, _ make: () throws -> [UInt8]
  ) throws -> [UInt8] {
    let known = try connection.first(
      "SELECT body_sha256, reply FROM idempotency WHERE owner = $1 AND key = $2", owner, key)
    if let known {
      guard try known.blob("body_sha256") == digest(body) else { throw AnotherBody(key: key) }
      return try known.blob("reply")
    }
    let reply = try make()
    try keep(reply, owner: owner, key: key, body: body, created: Date(), in: connection)
    return reply
  }

  /// Keeps the reply of a request that was answered at `created`. A key that is kept already stays as it is.
  public static func keep(
    _ reply: [UInt8], owner: String, key: String, body: [UInt8], created: Date, in connection: WriteConnection
  ) throws {
    try connection.execute(
      """
      INSERT INTO idempotency (owner, key, body_sha256, reply, created_us) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (owner, key) DO NOTHING
      """, owner, key, digest(body), reply, created)
  }

  /// Forgets up to `limit` replies from before `time`. Returns how many.
  public static func prune(before time: Date, limit: Int, in connection: WriteConnection) throws -> Int {
    let rows = try connection.rows(
      "SELECT owner, key FROM idempotency WHERE created_us < $1 ORDER BY created_us LIMIT $2", time, limit)
    for row in rows {
      try connection.execute(
        "DELETE FROM idempotency WHERE owner = $1 AND key = $2", try row.text("owner"), try row.text("key"))
    }
    return rows.count
  }

  private static func digest(_ body: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: body)) }
}
