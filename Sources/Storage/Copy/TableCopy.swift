/// A connection whose tables can be copied from one engine to another.
protocol TableSession: Session {
  /// The database's tables.
  func tableNames() throws -> [String]
  /// Every row of a table, one after the other; the whole table need not fit into memory.
  func eachRow(of table: String, _ body: (Row) throws -> Void) throws
  /// The largest number that a table has given to a row by itself; 0 where it gives none or has given none.
  func lastNumber(of table: String) throws -> Int64
  /// Lets a table that numbers its rows go on after all that are there, and after `number`.
  func continueNumbers(of table: String, after number: Int64) throws
}

/// Makes the rows of one database those of another with the same schema. One of the two is always SQLite.
struct TableCopy {
  let source: any TableSession
  let target: any TableSession
  let isCancelled: () -> Bool

  /// Runs inside transactions of both.
  ///
  /// - Parameter tables: All of them, each behind those it refers to.
  func run(_ tables: [String]) throws {
    for table in try source.tableNames() + target.tableNames() where !tables.contains(table) {
      throw StorageError.sql("the table \(table) is not one of the schema's")
    }
    // What migrations put there is in the source too, unless it was deleted there.
    for table in tables.reversed() { _ = try target.execute("DELETE FROM \"\(table)\"", []) }
    for table in tables { try copy(table) }
  }

  private func copy(_ table: String) throws {
    var insert = ""
    try source.eachRow(of: table) { row in
      if isCancelled() { throw CancellationError() }
      if insert.isEmpty { insert = Self.insert(into: table, row.columnNames) }
      _ = try target.execute(insert, row.values)
    }
    try target.continueNumbers(of: table, after: source.lastNumber(of: table))
  }

  private static func insert(into table: String, _ columns: [String]) -> String {
    let names = columns.map { "\"\($0)\"" }.joined(separator: ", ")
    let places = columns.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
    return "INSERT INTO \"\(table)\" (\(names)) VALUES (\(places))"
  }
}
