import CProtobufC
import Glibc

/// Walks a message's binary form by its descriptor and refuses what protobuf-c would take in and should not.
///
/// protobuf-c 1.4.1 has no limit of depth or count, accepts invalid UTF-8, cuts a string at an embedded NUL, and loses
/// scalars when a message field that comes twice has to be merged (no encoder writes one twice). So all of that ends
/// here, before it allocates anything. A field whose wire type does not fit its declaration is refused as well.
struct WireScan {
  private let limits: WireLimits
  private var fields = 0
  private var unknownBytes = 0

  /// Throws WireError unless `bytes` can be handed to protobuf-c.
  static func check(
    _ bytes: UnsafeRawBufferPointer, as descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ limits: WireLimits
  ) throws {
    guard bytes.count <= limits.bytes else {
      throw error(.tooLarge, descriptor, "\(bytes.count) bytes are over the limit of \(limits.bytes)")
    }
    var scan = WireScan(limits: limits)
    try scan.message(WireReader(bytes), descriptor, depth: 1)
  }

  private init(limits: WireLimits) { self.limits = limits }

  private mutating func message(
    _ reader: consuming WireReader, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, depth: Int
  ) throws {
    guard depth <= limits.depth else {
      throw Self.error(.tooDeep, descriptor, "more than \(limits.depth) messages inside each other")
    }
    // Message fields that were there, by index; the generator allows 128 fields.
    var seen: UInt128 = 0
    while !reader.isAtEnd {
      let start = reader.position
      guard let tag = reader.varint(), tag >> 3 >= 1, tag >> 3 < 1 << 29 else {
        throw Self.error(.malformed, descriptor, "a bad tag")
      }
      fields += 1
      guard fields <= limits.fields else {
        throw Self.error(.tooManyFields, descriptor, "more than \(limits.fields) fields")
      }
      let wireType = UInt8(truncatingIfNeeded: tag & 7)
      guard let index = Self.index(of: UInt32(tag >> 3), descriptor) else {
        guard reader.value(wireType) != nil else {
          throw Self.error(.malformed, descriptor, "field \(tag >> 3), which is unknown, is cut off or of a bad type")
        }
        unknownBytes += reader.position - start
        guard unknownBytes <= limits.unknownBytes else {
          throw Self.error(
            .tooManyUnknownBytes, descriptor, "more than \(limits.unknownBytes) bytes of unknown fields")
        }
        continue
      }
      let field = descriptor.pointee.fields + index
      guard Self.fits(wireType, field), let content = reader.value(wireType) else {
        throw Self.error(.malformed, descriptor, field, "is cut off or of another type")
      }
      if field.pointee.type == PROTOBUF_C_TYPE_STRING {
        try Self.string(content, descriptor, field)
      } else if field.pointee.type == PROTOBUF_C_TYPE_MESSAGE {
        if field.pointee.label != PROTOBUF_C_LABEL_REPEATED {
          guard seen & (1 << index) == 0 else {
            throw Self.error(.malformed, descriptor, field, "is there twice")
          }
          seen |= 1 << index
        }
        try message(
          WireReader(content), field.pointee.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self),
          depth: depth + 1)
      }
    }
  }

  private static func string(
    _ content: UnsafeRawBufferPointer, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
    _ field: UnsafePointer<ProtobufCFieldDescriptor>
  ) throws {
    guard let start = content.baseAddress, !content.isEmpty else { return }
    guard memchr(start, 0, content.count) == nil else {
      throw error(.embeddedNUL, descriptor, field, "holds a NUL character")
    }
    guard UTF8Check.isValid(content) else {
      throw error(.invalidUTF8, descriptor, field, "is not valid UTF-8")
    }
  }

  /// A field's index by its number: descriptors hold runs of consecutive numbers.
  @inline(__always)
  private static func index(of number: UInt32, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) -> Int? {
    guard let ranges = descriptor.pointee.field_ranges else { return nil }
    for range in 0..<Int(descriptor.pointee.n_field_ranges) {
      let offset = Int(number) - Int(ranges[range].start_value)
      guard offset >= 0 else { return nil }
      let first = Int(ranges[range].orig_index)
      if offset < Int(ranges[range + 1].orig_index) - first { return first + offset }
    }
    return nil
  }

  @inline(__always)
  private static func fits(_ wireType: UInt8, _ field: UnsafePointer<ProtobufCFieldDescriptor>) -> Bool {
    let native: UInt8
    switch field.pointee.type {
    case PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_BYTES, PROTOBUF_C_TYPE_MESSAGE: return wireType == 2
    case PROTOBUF_C_TYPE_FLOAT, PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_SFIXED32: native = 5
    case PROTOBUF_C_TYPE_DOUBLE, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_SFIXED64: native = 1
    default: native = 0
    }
    // Lists of numbers come packed or one by one, whatever was declared.
    return wireType == native || (wireType == 2 && field.pointee.label == PROTOBUF_C_LABEL_REPEATED)
  }

  private static func error(
    _ kind: WireError.Kind, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, _ text: String
  ) -> WireError {
    WireError(kind, "\(String(cString: descriptor.pointee.name)): \(text)")
  }

  private static func error(
    _ kind: WireError.Kind, _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>,
    _ field: UnsafePointer<ProtobufCFieldDescriptor>, _ text: String
  ) -> WireError {
    WireError(
      kind, "\(String(cString: descriptor.pointee.name)): field \(String(cString: field.pointee.name)) \(text)")
  }
}

/// Reads tags and values of the binary form, in bounds always.
struct WireReader {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var isAtEnd: Bool { position == bytes.count }

  /// Nil if it is cut off or does not fit into 64 bits.
  @inline(__always)
  mutating func varint() -> UInt64? {
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      if shift == 63 && byte > 1 { return nil }
      result |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return result }
      shift += 7
      if shift > 63 { return nil }
    }
    return nil
  }

  /// A value's content: of a length-delimited one without its length. Nil if it is cut off, or of a type that proto3
  /// does not have.
  @inline(__always)
  mutating func value(_ wireType: UInt8) -> UnsafeRawBufferPointer? {
    let start = position
    switch wireType {
    case 0: return varint() == nil ? nil : UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    case 1: return take(8)
    case 5: return take(4)
    case 2:
      guard let length = varint(), length <= UInt64(bytes.count - position) else { return nil }
      return take(Int(length))
    default: return nil
    }
  }

  @inline(__always)
  private mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
    guard count <= bytes.count - position else { return nil }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }
}

enum UTF8Check {
  @inline(__always)
  static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var position = 0
    // Most text is ASCII: eight bytes at a time.
    while position + 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
      if word & 0x8080_8080_8080_8080 != 0 { break }
      position += 8
    }
    while position < bytes.count, bytes[position] < 0x80 { position += 1 }
    if position == bytes.count { return true }
    let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
    return (try? UTF8Span(validating: rest.bindMemory(to: UInt8.self).span)) != nil
  }
}
