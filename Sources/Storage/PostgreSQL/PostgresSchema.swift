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

  private func tables() throws -> [String] {
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
}
