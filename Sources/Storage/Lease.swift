import Foundation

/// Who takes leases: one process for as long as it runs.
public struct LeaseHolder: Sendable, Hashable {
  /// Made anew at every start: a process must not take its predecessor's leases for its own.
  public let id: String
  /// How long a lease lives after it was claimed or renewed.
  public let duration: Duration

  public init(id: String, duration: Duration) {
    self.id = id
    self.duration = duration
  }
}

/// The right to work on something, which its holder has for a time and may renew.
///
/// ```
/// free ──claim (fence + 1)──▶ live ──release──▶ free
///                              │ ▲
///                         time │ │ renew
///                              ▼ │
///                           expired ──claim by anyone (fence + 1)──▶ live, another's
/// ```
///
/// A process that was frozen past its lease does not know it. So a lease carries a fencing token, which grows with
/// every claim, and whoever writes as the holder checks it in the same transaction: a former holder's write is refused.
///
/// Expiry alone takes nothing away; it only lets others claim. Until one has, the holder may write and renew.
/// All functions belong inside a transaction of the database that holds the table, whose clock they go by.
public struct Lease: Sendable, Hashable {
  public let resource: String
  /// ``LeaseHolder/id``.
  public let holder: String
  /// The fencing token, from 1.
  public let fence: Int64

  init(resource: String, holder: String, fence: Int64) {
    self.resource = resource
    self.holder = holder
    self.fence = fence
  }

  /// The table, for a service's migrations. It holds what is being worked on and what was interrupted, so it is small.
  public static let schema = """
    CREATE TABLE leases (
      resource TEXT PRIMARY KEY,
      holder TEXT NOT NULL,
      fence BIGINT NOT NULL,
      expires_us BIGINT NOT NULL
    );
    """

  /// Takes a resource that nobody has a live lease on; nil where somebody has, be it the same holder: two tasks of one
  /// process exclude each other like two processes.
  public static func claim(
    _ resource: String, by holder: LeaseHolder, in connection: WriteConnection
  ) throws -> Lease? {
    let now = try connection.now()
    let row = try connection.first(
      """
      INSERT INTO leases (resource, holder, fence, expires_us) VALUES ($1, $2, 1, $3)
      ON CONFLICT (resource) DO UPDATE
      SET holder = excluded.holder, fence = leases.fence + 1, expires_us = excluded.expires_us
      WHERE leases.expires_us <= $4
      RETURNING fence
      """, resource, holder.id, now.advanced(by: holder.duration / .seconds(1)), now)
    return try row.map { Lease(resource: resource, holder: holder.id, fence: try $0.int64("fence")) }
  }

  /// Gives leases of one holder another full duration, in one statement. Returns those that it still had; the others
  /// are lost.
  public static func renew(
    _ leases: [Lease], of holder: LeaseHolder, in connection: WriteConnection
  ) throws -> Set<Lease> {
    var kept: Set<Lease> = []
    let expires = try connection.now().advanced(by: holder.duration / .seconds(1))
    // Databases bound the number of arguments.
    for start in stride(from: 0, to: leases.count, by: 500) {
      let part = leases[start..<min(start + 500, leases.count)]
      let numbers = (3..<(3 + part.count)).map { "$\($0)" }.joined(separator: ", ")
      let rows = try connection.rows(
        """
        UPDATE leases SET expires_us = $1 WHERE holder = $2 AND resource IN (\(numbers)) RETURNING resource, fence
        """, arguments: [expires, holder.id] + part.map(\.resource))
      for row in rows {
        kept.insert(Lease(resource: try row.text("resource"), holder: holder.id, fence: try row.int64("fence")))
      }
    }
    return kept.intersection(leases)
  }

  /// Throws ``LeaseLost`` where the lease is no longer this one: whatever else the transaction does is undone with it.
  public func check(in connection: some ReadConnection) throws {
    let found = try connection.first(
      "SELECT fence FROM leases WHERE resource = $1 AND holder = $2 AND fence = $3", resource, holder, fence)
    if found == nil { throw LeaseLost(lease: self) }
  }

  /// Lets others claim the resource at once; the fence is kept for them to go on from. Does nothing where the lease was
  /// lost.
  public func release(in connection: WriteConnection) throws {
    try connection.execute(
      "UPDATE leases SET holder = '', expires_us = 0 WHERE resource = $1 AND holder = $2 AND fence = $3",
      resource, holder, fence)
  }

  /// Forgets a resource that nobody will ever claim again, and its fence. Does nothing where the lease was lost.
  public func drop(in connection: WriteConnection) throws {
    try connection.execute(
      "DELETE FROM leases WHERE resource = $1 AND holder = $2 AND fence = $3", resource, holder, fence)
  }

  /// Whether anybody has a live lease on a resource.
  public static func isLive(_ resource: String, in connection: some ReadConnection) throws -> Bool {
    try connection.first(
      "SELECT 1 AS live FROM leases WHERE resource = $1 AND expires_us > $2", resource, try connection.now()) != nil
  }

  /// Forgets the lease on a resource that nobody will ever claim again, if it is not live: its former holder can
  /// neither renew it nor write any more. False where it is live.
  public static func dropExpired(_ resource: String, in connection: WriteConnection) throws -> Bool {
    try connection.execute(
      "DELETE FROM leases WHERE resource = $1 AND expires_us <= $2", resource, try connection.now())
    return try !exists(resource, in: connection)
  }

  /// Whether a resource has been claimed and not been dropped since; the lease may be live or not.
  public static func exists(_ resource: String, in connection: some ReadConnection) throws -> Bool {
    try connection.first("SELECT fence FROM leases WHERE resource = $1", resource) != nil
  }

  /// Ends all leases, for whoever knows that none of their holders lives.
  public static func expireAll(in connection: WriteConnection) throws {
    try connection.execute("UPDATE leases SET holder = '', expires_us = 0 WHERE expires_us > 0")
  }
}

/// A write under a lease that somebody else has claimed since, or that was dropped. Nothing of it was stored.
public struct LeaseLost: Error, Sendable, Hashable, CustomStringConvertible {
  public let lease: Lease

  public init(lease: Lease) {
    self.lease = lease
  }

  public var description: String { "the lease on \(lease.resource) with fence \(lease.fence) was lost" }
}
