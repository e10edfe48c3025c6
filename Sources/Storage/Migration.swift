/// One numbered step of a database's schema: the text of a `.sql` file of one or more statements.
public struct Migration: Sendable, Hashable {
  public let number: Int
  public let name: String
  public let sql: [UInt8]

  /// - Parameters:
  ///   - number: 1, 2, 3 … without a gap.
  ///   - name: What it does, for messages: usually the file's name.
  ///   - sql: UTF-8. Never edited once released: its checksum is kept in the database.
  public init(_ number: Int, _ name: String, sql: [UInt8]) {
    self.number = number
    self.name = name
    self.sql = sql
  }

  public init(_ number: Int, _ name: String, sql: String) {
    self.init(number, name, sql: Array(sql.utf8))
  }
}
