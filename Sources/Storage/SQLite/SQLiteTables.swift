import GRDB

extension SQLiteSession: TableSession {
  func tableNames() throws -> [String] {
    try query(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name", [],
      firstOnly: false
    ).map { try $0.text("name") }
  }

  func eachRow(of table: String, _ body: (Row) throws -> Void) throws {
    do {
      let statement = try database.makeStatement(sql: "SELECT * FROM \"\(table)\"")
      let cursor = try GRDB.Row.fetchCursor(statement)
      let columns = Columns(statement.columnNames)
      while let row = try cursor.next() {
        try body(Row(columns: columns, values: row.databaseValues.map(Value.init)))
      }
    } catch let error as DatabaseError {
      throw StorageError(error)
    }
  }

  func lastNumber(of table: String) throws -> Int64 {
    guard try numbersRows(table) else { return 0 }
    return try query("SELECT seq FROM sqlite_sequence WHERE name = $1", [.text(table)], firstOnly: true)
      .first?.int64("seq") ?? 0
  }

  func continueNumbers(of table: String, after number: Int64) throws {
    guard try numbersRows(table), try lastNumber(of: table) < number else { return }
    let changed = try execute(
      "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1", [.text(table), .integer(number)])
    if changed == 0 {
      _ = try execute("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", [.text(table), .integer(number)])
    }
  }

  /// Declared with AUTOINCREMENT. Other numbered tables go on after their largest number by themselves.
  private func numbersRows(_ table: String) throws -> Bool {
    let row = try query("SELECT sql FROM sqlite_master WHERE name = $1", [.text(table)], firstOnly: true).first
    return try row?.textOrNil("sql")?.uppercased().contains("AUTOINCREMENT") ?? false
  }

  /// All tables, each behind those that its foreign keys refer to.
  func tablesInOrder() throws -> [String] {
    var rest = try tableNames()
    var ordered: [String] = []
    while !rest.isEmpty {
      let ready = try rest.filter { table in
        try query("SELECT \"table\" AS parent FROM pragma_foreign_key_list($1)", [.text(table)], firstOnly: false)
          .allSatisfy { row in try row.text("parent") == table || ordered.contains(row.text("parent")) }
      }
      guard !ready.isEmpty else {
        throw StorageError.sql("the tables \(rest.joined(separator: ", ")) refer to each other in a circle")
      }
      ordered += ready
      rest.removeAll { ready.contains($0) }
    }
    return ordered
  }
}
