/// The cells of a table, row by row, in one buffer: 5 million strings of their own would take ten times the memory.
struct CellStore: Sendable {
  /// The most cells a table may have.
  static let maximumCells = 5_000_000

  private(set) var bytes: [UInt8] = []
  /// Where each cell ends in `bytes`; it starts where the one before ends.
  private var ends: [UInt32] = []
  private(set) var columnCount = 0

  var cellCount: Int { ends.count }
  var rowCount: Int { columnCount == 0 ? 0 : ends.count / columnCount }

  mutating func reserve(bytes count: Int) { bytes.reserveCapacity(count) }

  mutating func append(byte: UInt8) { bytes.append(byte) }
  mutating func append(_ slice: ArraySlice<UInt8>) { bytes.append(contentsOf: slice) }

  /// Throws `INPUT_TOO_LARGE`.
  mutating func endCell() throws {
    guard ends.count < Self.maximumCells else {
      throw ToolError(
        "INPUT_TOO_LARGE", "The table has more than \(grouped(Self.maximumCells)) cells.",
        details: ["limit": String(Self.maximumCells)])
    }
    ends.append(UInt32(bytes.count))
  }

  mutating func setColumns(_ count: Int) { columnCount = count }

  func range(_ row: Int, _ column: Int) -> Range<Int> {
    let cell = row * columnCount + column
    return (cell == 0 ? 0 : Int(ends[cell - 1]))..<Int(ends[cell])
  }

  /// Without surrounding spaces.
  func trimmed(_ row: Int, _ column: Int) -> Range<Int> {
    var range = range(row, column)
    while let first = range.first, bytes[first] == 0x20 || bytes[first] == 0x09 {
      range = (first + 1)..<range.upperBound
    }
    while let last = range.last, bytes[last] == 0x20 || bytes[last] == 0x09 { range = range.lowerBound..<last }
    return range
  }

  func text(_ row: Int, _ column: Int) -> String { String(decoding: bytes[trimmed(row, column)], as: UTF8.self) }

  /// Takes the first row out and returns it.
  mutating func removeHeader(columns: Int) -> [String] {
    columnCount = columns
    let names = (0..<columns).map { text(0, $0) }
    let cut = Int(ends[columns - 1])
    bytes.removeFirst(cut)
    ends.removeFirst(columns)
    for index in ends.indices { ends[index] -= UInt32(cut) }
    return names
  }
}
