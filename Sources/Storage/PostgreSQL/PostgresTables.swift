extension PostgresSession: TableSession {
  func tableNames() throws -> [String] { try tables() }

  func eachRow(of table: String, _ body: (Row) throws -> Void) throws {
    let cursor = "\"copy_\(table)\""
    try send(["DECLARE \(cursor) NO SCROLL CURSOR FOR SELECT * FROM \"\(table)\""])
    while true {
      let rows = try query("FETCH 100 FROM \(cursor)", [], firstOnly: false)
      if rows.isEmpty { break }
      for row in rows { try body(row) }
    }
    try send(["CLOSE \(cursor)"])
  }

  func lastNumber(of table: String) throws -> Int64 {
    guard let sequence = try numbering(of: table)?.sequence else { return 0 }
    let row = try query(
      "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last FROM \(sequence)", [], firstOnly: true).first
    return try row?.int64("last") ?? 0
  }

  func continueNumbers(of table: String, after number: Int64) throws {
    guard let (column, sequence) = try numbering(of: table) else { return }
    let largest = try query("SELECT max(\"\(column)\") AS n FROM \"\(table)\"", [], firstOnly: true)
      .first?.int64OrNil("n") ?? 0
    let last = max(largest, number)
    if last > 0 { _ = try query("SELECT setval('\(sequence)'::regclass, $1) AS n", [.integer(last)], firstOnly: true) }
  }

  /// The column of a table that gets its numbers by itself, and where they come from.
  private func numbering(of table: String) throws -> (column: String, sequence: String)? {
    let row = try query(
      """
      SELECT a.attname AS name,
        pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) AS sequence
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = current_schema() AND c.relname = $1 AND c.relkind = 'r' AND a.attidentity <> ''
      """, [.text(table)], firstOnly: true
    ).first
    guard let row else { return nil }
    return (try row.text("name"), try row.text("sequence"))
  }
}
