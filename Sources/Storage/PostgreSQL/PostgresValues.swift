import CLibPQ

/// The types of PostgreSQL that values are sent as and read from (pg_type.dat).
enum PostgresType {
  /// Decided by the statement: for NULL, which has none of its own.
  static let unknown: Oid = 0
  static let integer: Oid = 20
  static let real: Oid = 701
  static let text: Oid = 25
  static let bytes: Oid = 17
}

/// The arguments of one statement in the wire's binary form, in one piece of memory.
struct PostgresArguments {
  let types: [Oid]
  private var bytes: [UInt8] = []
  private var ranges: [Range<Int>?] = []

  init(_ values: [Value]) {
    types = values.map(\.postgresType)
    for value in values {
      let start = bytes.count
      switch value {
      case .null: break
      case .integer(let number): Self.append(UInt64(bitPattern: number), to: &bytes)
      case .real(let number): Self.append(number.bitPattern, to: &bytes)
      case .text(let text): bytes += text.utf8
      case .blob(let blob): bytes += blob
      }
      ranges.append(value == .null ? nil : start..<bytes.count)
    }
    // So that there is an address even where all arguments are empty.
    bytes.append(0)
  }

  private static func append(_ number: UInt64, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: number.bigEndian) { bytes += $0 }
  }

  /// Calls with the arrays that libpq takes: addresses, lengths, formats (1 is binary).
  func withArrays<T>(_ body: ([UnsafePointer<CChar>?], [Int32], [Int32]) -> T) -> T {
    bytes.withUnsafeBytes { memory in
      let start = memory.assumingMemoryBound(to: CChar.self).baseAddress
      return body(
        ranges.map { range in range.flatMap { start?.advanced(by: $0.lowerBound) } },
        ranges.map { Int32($0?.count ?? 0) }, [Int32](repeating: 1, count: ranges.count))
    }
  }
}

extension Value {
  fileprivate var postgresType: Oid {
    switch self {
    case .null: PostgresType.unknown
    case .integer: PostgresType.integer
    case .real: PostgresType.real
    case .text: PostgresType.text
    case .blob: PostgresType.bytes
    }
  }

  /// Reads a column's value in binary form. Times are microseconds since 1970, as Buddy keeps them.
  init(postgres type: Oid, _ bytes: UnsafeRawBufferPointer) throws {
    switch type {
    case 16: self = .integer(bytes.first == 1 ? 1 : 0)
    case 20: self = .integer(Int64(bitPattern: UInt64(bytes.bigEndian)))
    case 21: self = .integer(Int64(Int16(truncatingIfNeeded: bytes.bigEndian)))
    case 23: self = .integer(Int64(Int32(truncatingIfNeeded: bytes.bigEndian)))
    case 26: self = .integer(Int64(bytes.bigEndian))
    case 700: self = .real(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bytes.bigEndian))))
    case 701: self = .real(Double(bitPattern: UInt64(bytes.bigEndian)))
    case 17: self = .blob(Array(bytes))
    // "char", name, text, unknown, char(n), varchar
    case 18, 19, 25, 705, 1042, 1043: self = .text(String(decoding: bytes, as: UTF8.self))
    // timestamp, timestamptz: counted from 2000
    case 1114, 1184: self = .integer(Int64(bitPattern: UInt64(bytes.bigEndian)) + 946_684_800_000_000)
    case 1700: self = try Value(numeric: bytes)
    default: throw StorageError.sql("a column of PostgreSQL's type \(type) cannot be read: cast it")
    }
  }

  /// What `sum` and `avg` give: an integer where it is whole and fits, else a real.
  private init(numeric bytes: UnsafeRawBufferPointer) throws {
    let words = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
    guard words.count >= 4, words.count == 4 + Int(words[0]) else { throw StorageError.sql("a numeric is torn") }
    guard words[2] == 0 || words[2] == 0x4000 else { throw StorageError.sql("a numeric is not a finite number") }
    let (weight, digits) = (Int(Int16(bitPattern: words[1])), words[4...].map(Int.init))
    func group(_ place: Int) -> String {
      // Digits come in groups of four; those that are not sent are zero.
      let index = weight - place
      let text = String(digits.indices.contains(index) ? digits[index] : 0)
      return String(repeating: "0", count: 4 - text.count) + text
    }
    let sign = words[2] == 0x4000 ? "-" : ""
    let whole = sign + (weight < 0 ? "0" : stride(from: weight, through: 0, by: -1).map(group).joined())
    let lowest = weight - digits.count + 1
    let fraction = lowest >= 0 ? "" : stride(from: -1, through: lowest, by: -1).map(group).joined()
    if !fraction.contains(where: { $0 != "0" }), let number = Int64(whole) {
      self = .integer(number)
    } else {
      self = .real(Double("\(whole).\(fraction)0") ?? 0)
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The bytes as one number, most significant first; of up to eight bytes.
  fileprivate var bigEndian: UInt {
    reduce(0) { $0 << 8 | UInt($1) }
  }
}
