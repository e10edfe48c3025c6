import Glibc

/// A list of header fields in one allocation: each field is its two lengths, then its name, then its value.
///
/// A call has one of these on its way in and one or two on its way out, so fields are not separate `String`s; what
/// is needed as text is made when it is asked for. Names are lower case, as HTTP/2 has them (RFC 9113 §8.2).
package struct HeaderBlock: Sendable, Hashable, ExpressibleByDictionaryLiteral {
  /// Where a field's name and value lie in the block.
  package struct Field: Sendable {
    package let name: Range<Int>
    package let value: Range<Int>
  }

  /// Bytes in front of each field: the name's length in 16 bits, the value's in 32.
  static let prefixBytes = 6
  package private(set) var bytes: [UInt8] = []
  package private(set) var count = 0

  package init(reserving capacity: Int = 0) {
    if capacity > 0 { bytes.reserveCapacity(capacity) }
  }

  package init(dictionaryLiteral elements: (String, String)...) {
    for (name, value) in elements { append(name, value) }
  }

  package var isEmpty: Bool { count == 0 }

  package mutating func append(_ name: String, _ value: String) {
    appendPrefix(name: name.utf8.count, value: value.utf8.count)
    bytes.append(contentsOf: name.utf8)
    bytes.append(contentsOf: value.utf8)
  }

  package mutating func append(_ name: StaticString, _ value: StaticString) {
    appendPrefix(name: name.utf8CodeUnitCount, value: value.utf8CodeUnitCount)
    bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    bytes.append(contentsOf: UnsafeBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
  }

  package mutating func append(contentsOf other: HeaderBlock) {
    bytes.append(contentsOf: other.bytes)
    count += other.count
  }

  /// Copies a field out of memory that belongs to nghttp2.
  mutating func append(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
    let length = Self.prefixBytes + name.count + value.count
    // Put together aside, so that the array grows, and asks whether it is shared, once a field instead of eight times.
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: length) { field in
      let prefix = Self.prefix(name: name.count, value: value.count)
      withUnsafeBytes(of: prefix) { UnsafeMutableRawBufferPointer(field).copyMemory(from: $0) }
      let text = UnsafeMutableBufferPointer(rebasing: field[Self.prefixBytes...])
      _ = text.update(fromContentsOf: name)
      _ = UnsafeMutableBufferPointer(rebasing: text[name.count...]).update(fromContentsOf: value)
      bytes.append(contentsOf: UnsafeBufferPointer(field))
    }
    count += 1
  }

  private mutating func appendPrefix(name: Int, value: Int) {
    count += 1
    withUnsafeBytes(of: Self.prefix(name: name, value: value)) { bytes.append(contentsOf: $0) }
  }

  private static func prefix(name: Int, value: Int) -> (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) {
    (
      UInt8(truncatingIfNeeded: name), UInt8(truncatingIfNeeded: name >> 8),
      UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8),
      UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 24)
    )
  }
}

// MARK: - Reading

extension HeaderBlock: Sequence {
  package struct Iterator: IteratorProtocol {
    let block: HeaderBlock
    var position = 0

    package mutating func next() -> Field? {
      let bytes = block.bytes
      guard position < bytes.count else { return nil }
      let nameLength = Int(bytes[position]) | Int(bytes[position + 1]) << 8
      let valueLength =
        Int(bytes[position + 2]) | Int(bytes[position + 3]) << 8 | Int(bytes[position + 4]) << 16
        | Int(bytes[position + 5]) << 24
      let name = position + HeaderBlock.prefixBytes
      let value = name + nameLength
      position = value + valueLength
      return Field(name: name..<value, value: value..<position)
    }
  }

  package func makeIterator() -> Iterator { Iterator(block: self) }

  package var underestimatedCount: Int { count }

  /// Whether the bytes of a name or value are exactly this text.
  package func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    return starts(range, with: text)
  }

  /// Whether the bytes of a name or value begin with this text.
  package func starts(_ range: Range<Int>, with text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard range.count >= length else { return false }
    return bytes[range.lowerBound..<(range.lowerBound + length)].withUnsafeBytes {
      memcmp($0.baseAddress ?? UnsafeRawPointer(text.utf8Start), text.utf8Start, length) == 0
    }
  }

  package func ends(_ range: Range<Int>, with text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    return range.count >= length && equals((range.upperBound - length)..<range.upperBound, text)
  }

  /// Whether these are the headers of an interim response (1xx). `:status` comes first (RFC 9113 §8.3).
  var isInformational: Bool {
    guard let field = first(where: { _ in true }) else { return false }
    return equals(field.name, ":status") && starts(field.value, with: "1")
  }

  /// Of `boundOnWire`: nghttp2 sends no block over it. It closes a request's stream as one that never left, which would
  /// be sent again for ever, and tells nobody of a response's.
  package static let maximumBytes = 64 * 1024

  /// The bytes that nghttp2 reckons with for this block: 6 for each length of a name or value, those themselves, 12 for
  /// changes of the table's size and 5 for a priority (`nghttp2_hd_deflate_bound`).
  package var boundOnWire: Int { bytes.count + (12 - Self.prefixBytes) * count + 12 + 5 }

  package subscript(_ range: Range<Int>) -> ArraySlice<UInt8> { bytes[range] }

  package func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  /// The first value of this name.
  package subscript(_ name: StaticString) -> String? {
    for field in self where equals(field.name, name) { return string(field.value) }
    return nil
  }
}
