import CMessages
import CProtobufC

/// Writes a protobuf-c struct as JSON.
struct JSONWriter {
  let options: ProtoJSON.Options
  private(set) var text: [UInt8] = []
  private var path = JSONPath()
  private var anyDepth = 0

  init(options: ProtoJSON.Options) { self.options = options }

  mutating func message(_ c: UnsafeRawPointer, _ schema: JSONMessage, _ arena: inout Arena) throws {
    switch schema.form {
    case .fields:
      put("{")
      var isFirst = true
      try fields(c, schema, &isFirst, &arena)
      put("}")
    case .wrapper: try value(c + schema.fields[0].offset, schema.fields[0], &arena)
    case .timestamp:
      let time = c.assumingMemoryBound(to: CTimestamp.self).pointee
      guard let text = TimeJSON.timestamp(seconds: time.seconds, nanos: time.nanos) else {
        throw path.error("a Timestamp must be within the years 0001 to 9999, with nanos from 0 to 999999999")
      }
      put("\"\(text)\"")
    case .duration:
      let duration = c.assumingMemoryBound(to: CDuration.self).pointee
      guard let text = TimeJSON.duration(seconds: duration.seconds, nanos: duration.nanos) else {
        throw path.error("a Duration must be within ±315576000000 s, with nanos below a second and of the same sign")
      }
      put("\"\(text)\"")
    case .any: try any(c.assumingMemoryBound(to: CAny.self).pointee, &arena)
    }
  }

  private mutating func fields(
    _ c: UnsafeRawPointer, _ schema: JSONMessage, _ isFirst: inout Bool, _ arena: inout Arena
  ) throws {
    for field in schema.fields where isPresent(field, in: c) {
      if !isFirst { put(",") }
      isFirst = false
      let name = options.preserveNames ? field.name : field.jsonName
      string(name)
      put(":")
      path.push(.name(name))
      if field.isMap {
        try map(c, field, &arena)
      } else if field.isRepeated {
        try list(c, field, &arena)
      } else {
        try value(c + field.offset, field, &arena)
      }
      path.pop()
    }
  }

  private func isPresent(_ field: JSONField, in c: UnsafeRawPointer) -> Bool {
    if field.isOneofMember { return c.load(fromByteOffset: field.quantifierOffset, as: UInt32.self) == field.number }
    if field.isRepeated {
      return options.emitDefaults || c.load(fromByteOffset: field.quantifierOffset, as: Int.self) > 0
    }
    let value = c + field.offset
    switch field.type {
    case PROTOBUF_C_TYPE_MESSAGE: return value.load(as: UnsafeRawPointer?.self) != nil
    case _ where options.emitDefaults: return true
    case PROTOBUF_C_TYPE_STRING:
      return (value.load(as: UnsafePointer<CChar>?.self)?.pointee ?? 0) != 0
    case PROTOBUF_C_TYPE_BYTES: return value.load(as: ProtobufCBinaryData.self).len > 0
    default: return field.stride == 8 ? value.load(as: UInt64.self) != 0 : value.load(as: UInt32.self) != 0
    }
  }

  // MARK: - Lists and maps

  private mutating func list(_ c: UnsafeRawPointer, _ field: JSONField, _ arena: inout Arena) throws {
    put("[")
    let count = c.load(fromByteOffset: field.quantifierOffset, as: Int.self)
    if let start = c.load(fromByteOffset: field.offset, as: UnsafeRawPointer?.self) {
      for index in 0..<count {
        if index > 0 { put(",") }
        path.push(.index(index))
        try value(start + index * field.stride, field, &arena)
        path.pop()
      }
    }
    put("]")
  }

  private mutating func map(_ c: UnsafeRawPointer, _ field: JSONField, _ arena: inout Arena) throws {
    guard let descriptor = field.messageDescriptor else { return }
    let fields = try JSONSchema.shared.message(descriptor).fields
    put("{")
    let count = c.load(fromByteOffset: field.quantifierOffset, as: Int.self)
    if let entries = c.load(fromByteOffset: field.offset, as: UnsafePointer<UnsafeRawPointer>?.self) {
      for index in 0..<count {
        if index > 0 { put(",") }
        let key = keyText(entries[index] + fields[0].offset, fields[0])
        string(key)
        put(":")
        path.push(.name(key))
        try mapValue(entries[index] + fields[1].offset, fields[1], &arena)
        path.pop()
      }
    }
    put("}")
  }

  private func keyText(_ key: UnsafeRawPointer, _ field: JSONField) -> String {
    switch field.type {
    case PROTOBUF_C_TYPE_STRING: CValue.string(key.load(as: UnsafePointer<CChar>?.self))
    case PROTOBUF_C_TYPE_BOOL: key.load(as: Int32.self) != 0 ? "true" : "false"
    default: integer(key, field)
    }
  }

  /// An entry without a value has its default: for a message, the empty one.
  private mutating func mapValue(_ pointer: UnsafeRawPointer, _ field: JSONField, _ arena: inout Arena) throws {
    if let descriptor = field.messageDescriptor, pointer.load(as: UnsafeRawPointer?.self) == nil {
      let empty = try arena.prepared(descriptor)
      return try message(empty, try JSONSchema.shared.message(descriptor), &arena)
    }
    try value(pointer, field, &arena)
  }

  // MARK: - Single values

  private mutating func value(_ pointer: UnsafeRawPointer, _ field: JSONField, _ arena: inout Arena) throws {
    switch field.type {
    case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64, PROTOBUF_C_TYPE_UINT64,
      PROTOBUF_C_TYPE_FIXED64:
      put("\"\(integer(pointer, field))\"")
    case PROTOBUF_C_TYPE_DOUBLE: put(Self.floating(pointer.load(as: Double.self)))
    case PROTOBUF_C_TYPE_FLOAT: put(Self.floating(pointer.load(as: Float.self)))
    case PROTOBUF_C_TYPE_BOOL: put(pointer.load(as: Int32.self) != 0 ? "true" : "false")
    case PROTOBUF_C_TYPE_ENUM: enumeration(pointer.load(as: Int32.self), field)
    case PROTOBUF_C_TYPE_STRING: string(CValue.string(pointer.load(as: UnsafePointer<CChar>?.self)))
    case PROTOBUF_C_TYPE_BYTES:
      let data = pointer.load(as: ProtobufCBinaryData.self)
      put("\"")
      Base64.encode(UnsafeBufferPointer(start: data.data, count: data.len), into: &text)
      put("\"")
    case PROTOBUF_C_TYPE_MESSAGE:
      guard let descriptor = field.messageDescriptor, let inner = pointer.load(as: UnsafeRawPointer?.self) else {
        return put("{}")
      }
      try message(inner, try JSONSchema.shared.message(descriptor), &arena)
    default: put(integer(pointer, field))
    }
  }

  private func integer(_ pointer: UnsafeRawPointer, _ field: JSONField) -> String {
    switch field.type {
    case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64:
      String(pointer.load(as: Int64.self))
    case PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_FIXED64: String(pointer.load(as: UInt64.self))
    case PROTOBUF_C_TYPE_UINT32, PROTOBUF_C_TYPE_FIXED32: String(pointer.load(as: UInt32.self))
    default: String(pointer.load(as: Int32.self))
    }
  }

  private mutating func enumeration(_ number: Int32, _ field: JSONField) {
    if let descriptor = field.enumDescriptor, let value = protobuf_c_enum_descriptor_get_value(descriptor, number) {
      string(String(cString: value.pointee.name))
    } else {
      put(String(number))
    }
  }

  /// Swift's description is the shortest text that reads back as the same value.
  private static func floating(_ value: Double) -> String {
    if value.isNaN { return "\"NaN\"" }
    if value.isInfinite { return value < 0 ? "\"-Infinity\"" : "\"Infinity\"" }
    return value.description
  }

  private static func floating(_ value: Float) -> String {
    guard value.isFinite else { return floating(Double(value)) }
    // The shortest text of the largest Float is, read as a Double, larger than it; some readers refuse that.
    return abs(value) == .greatestFiniteMagnitude ? Double(value).description : value.description
  }

  // MARK: - Any

  private mutating func any(_ any: CAny, _ arena: inout Arena) throws {
    let url = CValue.string(any.type_url)
    if url.isEmpty && any.value.len == 0 { return put("{}") }
    guard let schema = AnyJSON.schema(ofURL: url) else {
      throw path.error("an Any of the type \"\(url)\", which is not known here, has no JSON form")
    }
    anyDepth += 1
    defer { anyDepth -= 1 }
    guard anyDepth <= WireLimits.default.depth else {
      throw path.error("more than \(WireLimits.default.depth) Any inside each other")
    }
    let content = UnsafeRawBufferPointer(start: any.value.data, count: any.value.len)
    let inner: UnsafeRawPointer
    do {
      try WireScan.check(content, as: schema.descriptor, .default)
      inner = UnsafeRawPointer(try arena.unpack(content, as: schema.descriptor))
    } catch let error as WireError {
      throw path.error("the content of an Any: \(error.message)")
    }
    put("{\"@type\":")
    string(url)
    if schema.form == .fields {
      var isFirst = false
      try fields(inner, schema, &isFirst, &arena)
    } else {
      put(",\"value\":")
      try message(inner, schema, &arena)
    }
    put("}")
  }

  // MARK: - Text

  private mutating func put(_ ascii: String) { text.append(contentsOf: ascii.utf8) }

  private mutating func string(_ string: String) {
    text.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): text.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case UInt8(ascii: "\n"): put("\\n")
      case UInt8(ascii: "\r"): put("\\r")
      case UInt8(ascii: "\t"): put("\\t")
      case 0..<0x20: put(byte < 16 ? "\\u000" + String(byte, radix: 16) : "\\u00" + String(byte, radix: 16))
      default: text.append(byte)
      }
    }
    text.append(UInt8(ascii: "\""))
  }
}
