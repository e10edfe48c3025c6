public import Foundation

/// One row of a result. Columns are read by name; a missing column or another type than asked for throws
/// ``StorageError/column(_:_:)``.
public struct Row: Sendable {
  let columns: Columns
  let values: [Value]

  /// The names of the columns, from left to right.
  public var columnNames: [String] { columns.names }

  /// The value as it is stored.
  public func value(_ column: String) throws -> Value {
    guard let index = columns.positions[column] else {
      throw StorageError.column(column, "is not in the result (\(columns.names.joined(separator: ", ")))")
    }
    return values[index]
  }

  public func int64(_ column: String) throws -> Int64 { try required(column, int64OrNil(column)) }
  public func int(_ column: String) throws -> Int { try required(column, intOrNil(column)) }
  public func real(_ column: String) throws -> Double { try required(column, realOrNil(column)) }
  public func text(_ column: String) throws -> String { try required(column, textOrNil(column)) }
  public func blob(_ column: String) throws -> [UInt8] { try required(column, blobOrNil(column)) }
  public func bool(_ column: String) throws -> Bool { try required(column, boolOrNil(column)) }
  /// A date from an integer column of microseconds since 1970.
  public func date(_ column: String) throws -> Date { try required(column, dateOrNil(column)) }

  public func int64OrNil(_ column: String) throws -> Int64? {
    switch try value(column) {
    case .null: nil
    case .integer(let value): value
    case let other: throw mismatch(column, "an integer", other)
    }
  }

  public func intOrNil(_ column: String) throws -> Int? {
    try int64OrNil(column).map(Int.init)
  }

  /// Takes an integer too where a double holds it exactly: `sum()` and the like answer with one for whole numbers.
  public func realOrNil(_ column: String) throws -> Double? {
    switch try value(column) {
    case .null: return nil
    case .real(let value): return value
    case .integer(let value):
      guard let exact = Double(exactly: value) else { throw mismatch(column, "a real", .integer(value)) }
      return exact
    case let other: throw mismatch(column, "a real", other)
    }
  }

  public func textOrNil(_ column: String) throws -> String? {
    switch try value(column) {
    case .null: nil
    case .text(let value): value
    case let other: throw mismatch(column, "a text", other)
    }
  }

  public func blobOrNil(_ column: String) throws -> [UInt8]? {
    switch try value(column) {
    case .null: nil
    case .blob(let value): value
    case let other: throw mismatch(column, "a blob", other)
    }
  }

  /// Only 0 and 1 are booleans.
  public func boolOrNil(_ column: String) throws -> Bool? {
    switch try value(column) {
    case .null: nil
    case .integer(0): false
    case .integer(1): true
    case let other: throw mismatch(column, "a boolean (0 or 1)", other)
    }
  }

  public func dateOrNil(_ column: String) throws -> Date? {
    try int64OrNil(column).map { Date(timeIntervalSince1970: Double($0) / 1_000_000) }
  }

  private func required<T>(_ column: String, _ value: T?) throws -> T {
    guard let value else { throw StorageError.column(column, "is null") }
    return value
  }

  private func mismatch(_ column: String, _ expected: String, _ found: Value) -> StorageError {
    .column(column, "is \(found.kind), not \(expected)")
  }
}

/// What can be made from a row: a store's record types.
public protocol RowDecodable: Sendable {
  init(row: Row) throws
}

/// The columns of a statement's result, shared by all of its rows.
final class Columns: Sendable {
  let names: [String]
  let positions: [String: Int]

  init(_ names: [String]) {
    self.names = names
    // Of two columns with one name the left one is meant, as in SQL.
    positions = Dictionary(zip(names, names.indices)) { left, _ in left }
  }
}
