import Foundation

/// What the migrator needs: the schema itself, and nobody else at work in it.
extension PostgresSession {
  func exclusively(_ body: () throws -> Void) throws {
    let wait = engine.options.startTimeout.wholeMilliseconds
    isUnlimited = true
    defer { isUnlimited = false }
    _ = try link.connected()
    try send(["SET statement_timeout = 0", "SET lock_timeout = \(wait)", "SELECT pg_advisory_lock(\(lock))"])
    try createSchema()
    try body()
    try send([
      "SELECT pg_advisory_unlock(\(lock))",
      "SET statement_timeout = \(engine.options.statementTimeout.wholeMilliseconds)",
      "SET lock_timeout = \(engine.options.busyTimeout.wholeMilliseconds)",
    ])
  }

  /// `IF NOT EXISTS` would ask for the right to create schemas even where there is nothing to create.
  private func createSchema() throws {
    let schema = engine.address.schema
    let found = try query("SELECT 1 FROM pg_namespace WHERE nspname = $1", [.text(schema)], firstOnly: true)
    if found.isEmpty { try send(["CREATE SCHEMA \"\(schema)\""]) }
  }

  func hasTables(besides name: String) throws -> Bool {
    try tables().contains { $0 != name }
  }

  func hasTable(_ name: String) throws -> Bool {
    let sql = "SELECT 1 AS found FROM pg_tables WHERE schemaname = $1 AND tablename = $2"
    return try !query(sql, [.text(engine.address.schema), .text(name)], firstOnly: true).isEmpty
  }

  func tables() throws -> [String] {
    try query(
      "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY tablename", [.text(engine.address.schema)],
      firstOnly: false
    ).map { try $0.text("tablename") }
  }

  /// Copies all tables into a schema beside this one, in one transaction: complete or absent.
  func backUp(suffix: String) throws {
    let source = engine.address.schema
    let target = "\(source)_\(suffix.replacing("-", with: "_"))"
    var commands = ["BEGIN", "DROP SCHEMA IF EXISTS \"\(target)\" CASCADE", "CREATE SCHEMA \"\(target)\""]
    for table in try tables() {
      commands.append("CREATE TABLE \"\(target)\".\"\(table)\" (LIKE \"\(source)\".\"\(table)\" INCLUDING ALL)")
      commands.append("INSERT INTO \"\(target)\".\"\(table)\" SELECT * FROM \"\(source)\".\"\(table)\"")
    }
    do {
      try send(commands + ["COMMIT"])
    } catch {
      try? rollback()
      throw error
    }
  }

  // MARK: - Snapshots

  /// Keeps the writers of every process waiting, and begins a transaction that stays at the state it finds then.
  ///
  /// The lock comes first: a transaction's state is that of its first statement, which for one that waited would be
  /// the state from before its wait.
  func holdWriters() throws {
    isUnlimited = true
    _ = try link.connected()
    try send([
      "SET statement_timeout = 0",
      // Should this process be frozen, its lock goes with its connection, a while after the longest hold.
      "SET idle_in_transaction_session_timeout = '90s'",
      "SELECT pg_advisory_lock(\(lock))",
    ])
    try send([Self.beginRead, "SELECT 1"])
  }

  /// The transaction stays.
  func releaseWriters() throws { try send(["SELECT pg_advisory_unlock(\(lock))"]) }

  // MARK: - Restoring

  /// Until the connection closes nobody else uses the schema. Throws ``InUse``, after the moment that the server may
  /// need to notice that a process has ended.
  func useAlone() throws {
    let end = ContinuousClock.now + .seconds(2)
    while true {
      let row = try query("SELECT pg_try_advisory_lock(\(engine.useLock)) AS taken", [], firstOnly: true).first
      if try row?.int64("taken") == 1 { return }
      guard ContinuousClock.now < end else {
        throw InUse(place: engine.address.description, users: try users())
      }
      Thread.sleep(forTimeInterval: 0.05)
    }
  }

  /// What the server's list of connections shows of those who use the schema.
  private func users() throws -> [String] {
    // A lock of one 64-bit number is shown as its two halves.
    try query(
      """
      SELECT DISTINCT a.application_name || coalesce(' at ' || host(a.client_addr), '') AS name
      FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((l.classid::bigint << 32) | l.objid::bigint) = \(engine.useLock)
      ORDER BY name
      """, [], firstOnly: false
    ).map { try $0.text("name") }
  }

  /// Renames the schema and makes an empty one in its place, inside a transaction.
  func putSchemaAside() throws {
    let schema = engine.address.schema
    // What is longer the server would cut by itself, and two names could become one.
    let name = try RestoreName.aside(schema, longest: 63) { name in
      try !query("SELECT 1 AS n FROM pg_namespace WHERE nspname = $1", [.text(name)], firstOnly: true).isEmpty
    }
    try send(["ALTER SCHEMA \"\(schema)\" RENAME TO \"\(name)\"", "CREATE SCHEMA \"\(schema)\""])
  }
}
