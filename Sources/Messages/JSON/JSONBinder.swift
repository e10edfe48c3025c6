import CMessages
import CProtobufC

/// Turns JSON that has been read into a protobuf-c struct in an arena.
struct JSONBinder {
  let options: ProtoJSON.Options
  private var path = JSONPath()

  init(options: ProtoJSON.Options) { self.options = options }

  mutating func message(
    _ value: JSONValue, _ schema: JSONMessage, _ arena: inout Arena
  ) throws -> UnsafeMutableRawPointer {
    let c = try memory { try arena.prepared(schema.descriptor) }
    switch schema.form {
    case .fields:
      guard case .object(let members) = value else { throw expected("an object", value) }
      try fields(members, schema, c, &arena)
    case .wrapper: _ = try store(value, schema.fields[0], at: c + schema.fields[0].offset, &arena)
    case .timestamp:
      guard case .string(let text) = value, let time = TimeJSON.timestamp(text) else {
        throw expected("a time such as \"2030-01-31T08:00:00Z\", within the years 0001 to 9999", value)
      }
      c.assumingMemoryBound(to: CTimestamp.self).pointee.seconds = time.seconds
      c.assumingMemoryBound(to: CTimestamp.self).pointee.nanos = time.nanos
    case .duration:
      guard case .string(let text) = value, let duration = TimeJSON.duration(text) else {
        throw expected("a duration such as \"1.5s\", within ±315576000000 s", value)
      }
      c.assumingMemoryBound(to: CDuration.self).pointee.seconds = duration.seconds
      c.assumingMemoryBound(to: CDuration.self).pointee.nanos = duration.nanos
    case .any: try any(value, c.assumingMemoryBound(to: CAny.self), &arena)
    }
    return c
  }

  private func expected(_ what: String, _ value: JSONValue) -> JSONError {
    path.error("expected \(what), not \(value.shown)")
  }

  /// What goes wrong with memory or strings, with the path.
  private func memory<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as WireError { throw path.error(error.message) }
  }

  private mutating func fields(
    _ members: [(key: String, value: JSONValue)], _ schema: JSONMessage, _ c: UnsafeMutableRawPointer,
    _ arena: inout Arena
  ) throws {
    var seen: Set<Int> = []
    for (key, value) in members {
      path.push(.name(key))
      if let index = schema.index(named: key) {
        guard seen.insert(index).inserted else { throw path.error("the field is there under both of its names") }
        try field(value, schema.fields[index], c, &arena)
      } else if !options.ignoreUnknownFields {
        throw path.error("\(schema.name) has no such field")
      }
      path.pop()
    }
  }

  private mutating func field(
    _ value: JSONValue, _ field: JSONField, _ c: UnsafeMutableRawPointer, _ arena: inout Arena
  ) throws {
    if case .null = value { return }
    if field.isMap { return try map(value, field, c, &arena) }
    if field.isRepeated { return try list(value, field, c, &arena) }
    if field.isOneofMember {
      guard c.load(fromByteOffset: field.quantifierOffset, as: UInt32.self) == 0 else {
        throw path.error("another member of the same oneof is there too")
      }
    }
    guard try store(value, field, at: c + field.offset, &arena), field.isOneofMember else { return }
    c.storeBytes(of: field.number, toByteOffset: field.quantifierOffset, as: UInt32.self)
  }

  // MARK: - Lists and maps

  private mutating func list(
    _ value: JSONValue, _ field: JSONField, _ c: UnsafeMutableRawPointer, _ arena: inout Arena
  ) throws {
    guard case .array(let elements) = value else { throw expected("a list", value) }
    guard !elements.isEmpty else { return }
    let start = try memory { try arena.bytes(count: elements.count * field.stride) }
    var count = 0
    for (index, element) in elements.enumerated() {
      path.push(.index(index))
      if case .null = element { throw path.error("null cannot be in a list") }
      if try store(element, field, at: start + count * field.stride, &arena) { count += 1 }
      path.pop()
    }
    set(start, count, field, c)
  }

  private mutating func map(
    _ value: JSONValue, _ field: JSONField, _ c: UnsafeMutableRawPointer, _ arena: inout Arena
  ) throws {
    guard case .object(let members) = value, let descriptor = field.messageDescriptor else {
      throw expected("an object", value)
    }
    guard !members.isEmpty else { return }
    let fields = try JSONSchema.shared.message(descriptor).fields
    let start = try memory { try arena.bytes(count: members.count * field.stride) }
    var count = 0
    for (key, value) in members {
      path.push(.name(key))
      if case .null = value { throw path.error("null cannot be in a map") }
      let entry = try memory { try arena.prepared(descriptor) }
      try storeKey(key, fields[0], at: entry + fields[0].offset, &arena)
      if try store(value, fields[1], at: entry + fields[1].offset, &arena) {
        start.storeBytes(of: entry, toByteOffset: count * field.stride, as: UnsafeMutableRawPointer.self)
        count += 1
      }
      path.pop()
    }
    set(start, count, field, c)
  }

  private func set(_ start: UnsafeMutableRawPointer, _ count: Int, _ field: JSONField, _ c: UnsafeMutableRawPointer) {
    c.storeBytes(of: start, toByteOffset: field.offset, as: UnsafeMutableRawPointer.self)
    c.storeBytes(of: count, toByteOffset: field.quantifierOffset, as: Int.self)
  }

  private mutating func storeKey(
    _ key: String, _ field: JSONField, at target: UnsafeMutableRawPointer, _ arena: inout Arena
  ) throws {
    guard field.type == PROTOBUF_C_TYPE_BOOL else {
      _ = try store(.string(key), field, at: target, &arena)
      return
    }
    guard key == "true" || key == "false" else { throw path.error("expected a key \"true\" or \"false\"") }
    target.storeBytes(of: key == "true" ? 1 : 0, as: Int32.self)
  }

  // MARK: - Single values

  /// False if nothing was stored: an enum value of an unknown name, where those are ignored.
  private mutating func store(
    _ value: JSONValue, _ field: JSONField, at target: UnsafeMutableRawPointer, _ arena: inout Arena
  ) throws -> Bool {
    switch field.type {
    case PROTOBUF_C_TYPE_INT32, PROTOBUF_C_TYPE_SINT32, PROTOBUF_C_TYPE_SFIXED32:
      target.storeBytes(of: try integer(value, Int32.self), as: Int32.self)
    case PROTOBUF_C_TYPE_UINT32, PROTOBUF_C_TYPE_FIXED32:
      target.storeBytes(of: try integer(value, UInt32.self), as: UInt32.self)
    case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64:
      target.storeBytes(of: try integer(value, Int64.self), as: Int64.self)
    case PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_FIXED64:
      target.storeBytes(of: try integer(value, UInt64.self), as: UInt64.self)
    case PROTOBUF_C_TYPE_FLOAT: target.storeBytes(of: try floating(value, Float.self), as: Float.self)
    case PROTOBUF_C_TYPE_DOUBLE: target.storeBytes(of: try floating(value, Double.self), as: Double.self)
    case PROTOBUF_C_TYPE_BOOL:
      guard case .bool(let bool) = value else { throw expected("true or false", value) }
      target.storeBytes(of: bool ? 1 : 0, as: Int32.self)
    case PROTOBUF_C_TYPE_ENUM:
      guard let number = try enumeration(value, field) else { return false }
      target.storeBytes(of: number, as: Int32.self)
    case PROTOBUF_C_TYPE_STRING:
      guard case .string(let text) = value else { throw expected("a string", value) }
      target.storeBytes(of: try memory { try arena.string(text) }, as: UnsafeMutablePointer<CChar>.self)
    case PROTOBUF_C_TYPE_BYTES:
      guard case .string(let text) = value, let bytes = Base64.decode(text) else {
        throw expected("bytes in Base64", value)
      }
      target.storeBytes(of: try memory { try arena.bytes(bytes) }, as: ProtobufCBinaryData.self)
    default:
      guard let descriptor = field.messageDescriptor else { throw path.error("a type that JSON has no form for") }
      let inner = try message(value, try JSONSchema.shared.message(descriptor), &arena)
      target.storeBytes(of: inner, as: UnsafeMutableRawPointer.self)
    }
    return true
  }

  private func integer<T: FixedWidthInteger>(_ value: JSONValue, _ type: T.Type) throws -> T {
    switch value {
    case .number(let text), .string(let text):
      if let number = JSONNumber.integer(text, as: T.self) { return number }
    default: break
    }
    throw expected("a whole number from \(T.min) to \(T.max)", value)
  }

  private func floating<T: BinaryFloatingPoint & LosslessStringConvertible>(
    _ value: JSONValue, _ type: T.Type
  ) throws -> T {
    switch value {
    case .string("NaN"): return .nan
    case .string("Infinity"): return .infinity
    case .string("-Infinity"): return -.infinity
    case .number(let text), .string(let text):
      if let number = JSONNumber.floating(text, as: T.self) { return number }
    default: break
    }
    throw expected("a number within the range of \(T.self == Float.self ? "float" : "double")", value)
  }

  /// A name or a number; a number without a name is kept.
  private func enumeration(_ value: JSONValue, _ field: JSONField) throws -> Int32? {
    switch value {
    case .string(let name):
      if let descriptor = field.enumDescriptor,
        let known = protobuf_c_enum_descriptor_get_value_by_name(descriptor, name)
      {
        return Int32(known.pointee.value)
      }
      if options.ignoreUnknownFields { return nil }
      let type = field.enumDescriptor.map { String(cString: $0.pointee.name) } ?? field.name
      throw expected("a value of \(type)", value)
    case .number: return try integer(value, Int32.self)
    default: throw expected("the name of an enum value", value)
    }
  }

  // MARK: - Any

  private mutating func any(
    _ value: JSONValue, _ any: UnsafeMutablePointer<CAny>, _ arena: inout Arena
  ) throws {
    guard case .object(let members) = value else { throw expected("an object", value) }
    if members.isEmpty { return }
    guard case .string(let url)? = members.first(where: { $0.key == "@type" })?.value else {
      throw path.error("expected \"@type\", such as \"type.googleapis.com/google.protobuf.Duration\"")
    }
    guard let schema = AnyJSON.schema(ofURL: url) else {
      throw path.error("the type \"\(url)\" is not known here")
    }
    let rest = members.filter { $0.key != "@type" }
    var content = JSONValue.object(rest)
    if schema.form != .fields {
      guard rest.count == 1, rest[0].key == "value" else {
        throw path.error("expected \"@type\" and \"value\" only, for \(schema.name)")
      }
      content = rest[0].value
    }
    let inner = try message(content, schema, &arena)
    any.pointee.type_url = try memory { try arena.string(url) }
    any.pointee.value = try memory { try arena.packed(inner) }
  }
}
