import CLibPQ

/// What a command was answered with. Owns libpq's memory; values are copied out.
final class PostgresResult {
  private let handle: OpaquePointer

  init(owning handle: OpaquePointer) { self.handle = handle }

  deinit { PQclear(handle) }

  /// The command's name and what it did: `INSERT 0 1`.
  var tag: String { PQcmdStatus(handle).map { String(cString: $0) } ?? "" }

  /// Rows inserted, changed or deleted; 0 for what changes none.
  var changes: Int {
    guard !tag.hasPrefix("SELECT") else { return 0 }
    return PQcmdTuples(handle).flatMap { Int(String(cString: $0)) } ?? 0
  }

  var columnNames: [String] {
    (0..<PQnfields(handle)).map { PQfname(handle, $0).map { String(cString: $0) } ?? "" }
  }

  func rows(_ columns: Columns, firstOnly: Bool) throws -> [Row] {
    let types = (0..<PQnfields(handle)).map { PQftype(handle, $0) }
    let count = firstOnly ? min(1, PQntuples(handle)) : PQntuples(handle)
    return try (0..<count).map { row in
      let values = try types.indices.map { try value(row, Int32($0), types[$0]) }
      return Row(columns: columns, values: values)
    }
  }

  private func value(_ row: Int32, _ column: Int32, _ type: Oid) throws -> Value {
    guard PQgetisnull(handle, row, column) == 0 else { return .null }
    let length = Int(PQgetlength(handle, row, column))
    return try Value(postgres: type, UnsafeRawBufferPointer(start: PQgetvalue(handle, row, column), count: length))
  }
}

/// The prepared statements of one connection.
struct PostgresStatements {
  /// NULL has no type of its own, so one text may be prepared in several ways.
  struct Key: Hashable {
    let sql: String
    let types: [Oid]
  }

  final class Prepared {
    let name: String
    /// Known after the first answer.
    var columns: Columns?
    init(name: String) { self.name = name }
  }

  /// More than all statements of a service; texts made by code cannot fill the server's memory all the same.
  static let largest = 500

  private var byKey: [Key: Prepared] = [:]
  private var made = 0

  var isFull: Bool { byKey.count >= Self.largest }

  subscript(key: Key) -> Prepared? { byKey[key] }

  /// A statement with a name that was not used before; to be added once the server has it.
  mutating func make() -> Prepared {
    made += 1
    return Prepared(name: "s\(made)")
  }

  mutating func add(_ statement: Prepared, for key: Key) { byKey[key] = statement }

  mutating func removeAll() { byKey = [:] }
}
