public import Glibc

/// A list of header fields in one allocation: each field is its two lengths, then its name, then its value.
///
/// A call has one of these on its way in and one or two on its way out, so fields are not separate `String`s; what
/// is needed as text is made when it is asked for. Names are lower case, as HTTP/2 has them (RFC 9113 §8.2).
public struct HeaderBlock: Sendable, Hashable, ExpressibleByDictionaryLiteral {
  /// Where a field's name and value lie in the block.
  public struct Field: Sendable {
    public let name: Range<Int>
    public let value: Range<Int>

    @inlinable
    public init(name: Range<Int>, value: Range<Int>) {
      self.name = name
      self.value = value
    }
  }

  /// Bytes in front of each field: the name's length in 16 bits, the value's in 32.
  @usableFromInline static let prefixBytes = 6
  @usableFromInline package private(set) var bytes: [UInt8] = []
  @usableFromInline package private(set) var count = 0

  package init(reserving capacity: Int = 0) {
    if capacity > 0 { bytes.reserveCapacity(capacity) }
  }

  /// - Parameters:
  ///   - bytes: As this type lays fields out; copied.
  ///   - count: How many fields they are.
  init(bytes: UnsafeRawBufferPointer, count: Int) {
    self.bytes = Array(bytes)
    self.count = count
  }

  public init(dictionaryLiteral elements: (String, String)...) {
    for (name, value) in elements { append(name, value) }
  }

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

  private mutating func appendPrefix(name: Int, value: Int) {
    count += 1
    withUnsafeBytes(of: UInt16(truncatingIfNeeded: name)) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: UInt32(truncatingIfNeeded: value)) { bytes.append(contentsOf: $0) }
  }
}

// MARK: - Reading

extension HeaderBlock: Sequence {
  public struct Iterator: IteratorProtocol {
    @usableFromInline let bytes: [UInt8]
    @usableFromInline var position = 0

    @inlinable init(_ bytes: [UInt8]) { self.bytes = bytes }

    @inlinable
    public mutating func next() -> Field? {
      guard position < bytes.count else { return nil }
      // Only this type writes the lengths, so they lie within the bytes.
      let (nameLength, valueLength) = bytes.withUnsafeBytes {
        (
          Int($0.loadUnaligned(fromByteOffset: position, as: UInt16.self)),
          Int($0.loadUnaligned(fromByteOffset: position + 2, as: UInt32.self))
        )
      }
      let name = position + HeaderBlock.prefixBytes
      let value = name + nameLength
      position = value + valueLength
      return Field(name: name..<value, value: value..<position)
    }
  }

  @inlinable
  public func makeIterator() -> Iterator { Iterator(bytes) }

  public var underestimatedCount: Int { count }

  /// Whether the bytes of a name or value are exactly this text.
  @inlinable
  public func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
    range.count == text.utf8CodeUnitCount && starts(range, with: text)
  }

  /// Whether the bytes of a name or value begin with this text.
  @inlinable
  public func starts(_ range: Range<Int>, with text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard range.count >= length, range.upperBound <= bytes.count else { return false }
    return bytes.withUnsafeBufferPointer {
      guard let start = $0.baseAddress else { return length == 0 }
      return memcmp(start + range.lowerBound, text.utf8Start, length) == 0
    }
  }

  @inlinable
  public func ends(_ range: Range<Int>, with text: StaticString) -> Bool {
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
