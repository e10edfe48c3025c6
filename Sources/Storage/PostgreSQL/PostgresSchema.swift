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

  /// Renames the schema and makes an empty one in its place, inside a transaction.
  func putSchemaAside(as name: String) throws {
    let schema = engine.address.schema
    try send(["ALTER SCHEMA \"\(schema)\" RENAME TO \"\(name)\"", "CREATE SCHEMA \"\(schema)\""])
  }
}
