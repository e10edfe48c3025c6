public import Foundation

/// A value as a database keeps it.
public enum Value: Sendable, Hashable {
  case null
  case integer(Int64)
  /// Never NaN: databases disagree on it, so storing one is an error.
  case real(Double)
  /// Never with a NUL character: PostgreSQL cannot keep it, so storing one is an error.
  case text(String)
  case blob([UInt8])

  /// The name of the kind, as error messages show it.
  var kind: String {
    switch self {
    case .null: "null"
    case .integer: "an integer"
    case .real: "a real"
    case .text: "a text"
    case .blob: "a blob"
    }
  }
}

extension Value: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByNilLiteral, ExpressibleByBooleanLiteral
{
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .real(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .integer(value ? 1 : 0) }
}

/// What can be the argument of a statement.
///
/// Reading the value throws ``StorageError/value(_:)`` for one that no column can hold, such as a `UInt64` above
/// `Int64.max`: silently wrapping it would come back as another number.
public protocol ValueConvertible: Sendable {
  var databaseValue: Value { get throws }
}

extension Value: ValueConvertible {
  public var databaseValue: Value { self }
}

extension Int64: ValueConvertible {
  public var databaseValue: Value { .integer(self) }
}

extension Int: ValueConvertible {
  public var databaseValue: Value { .integer(Int64(self)) }
}

extension Int32: ValueConvertible {
  public var databaseValue: Value { .integer(Int64(self)) }
}

extension UInt32: ValueConvertible {
  public var databaseValue: Value { .integer(Int64(self)) }
}

extension UInt64: ValueConvertible {
  public var databaseValue: Value {
    get throws {
      guard let value = Int64(exactly: self) else {
        throw StorageError.value("\(self) is larger than a database integer (\(Int64.max))")
      }
      return .integer(value)
    }
  }
}

extension Double: ValueConvertible {
  public var databaseValue: Value { .real(self) }
}

extension Bool: ValueConvertible {
  /// 0 or 1, in an integer column.
  public var databaseValue: Value { .integer(self ? 1 : 0) }
}

extension String: ValueConvertible {
  public var databaseValue: Value { .text(self) }
}

extension [UInt8]: ValueConvertible {
  public var databaseValue: Value { .blob(self) }
}

extension Date: ValueConvertible {
  /// Whole microseconds since 1970, in an integer column whose name ends in `_us` by convention.
  public var databaseValue: Value {
    get throws {
      guard let microseconds = Int64(exactly: (timeIntervalSince1970 * 1_000_000).rounded()) else {
        throw StorageError.value("the date \(timeIntervalSince1970) s since 1970 is out of range")
      }
      return .integer(microseconds)
    }
  }
}

extension Optional: ValueConvertible where Wrapped: ValueConvertible {
  public var databaseValue: Value {
    get throws {
      guard let self else { return .null }
      return try self.databaseValue
    }
  }
}

/// An enum that declares this conformance is stored as its raw value.
extension RawRepresentable where Self: ValueConvertible, RawValue: ValueConvertible {
  public var databaseValue: Value {
    get throws { try rawValue.databaseValue }
  }
}

extension Value {
  /// Refuses what a column cannot give back unchanged.
  func checked() throws -> Value {
    switch self {
    case .real(let number) where number.isNaN:
      throw StorageError.value("NaN cannot be stored")
    case .text(let text) where text.hasNUL:
      throw StorageError.value("a text with a NUL character cannot be stored")
    default:
      return self
    }
  }
}

extension String {
  /// Byte by byte through the string's own iterator this would cost as much as storing the text.
  fileprivate var hasNUL: Bool {
    utf8.withContiguousStorageIfAvailable { bytes in
      bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false
    } ?? utf8.contains(0)
  }
}
