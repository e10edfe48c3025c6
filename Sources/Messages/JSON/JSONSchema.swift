import CProtobufC

/// Every message with its names in JSON, made once from protobuf-c's descriptors and the generated registry.
///
/// @unchecked Sendable: immutable after init, and the descriptors it points to are constants of the program.
final class JSONSchema: @unchecked Sendable {
  static let shared = JSONSchema()

  private var messages: [UnsafePointer<ProtobufCMessageDescriptor>: JSONMessage] = [:]
  private var byName: [String: JSONMessage] = [:]

  private init() {
    for type in Registry.types { add(type.descriptor) }
    for message in messages.values where !message.isMapEntry { byName[message.name] = message }
  }

  private func add(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) {
    guard messages[descriptor] == nil else { return }
    let message = JSONMessage(descriptor)
    messages[descriptor] = message
    for field in message.fields { if let inner = field.messageDescriptor { add(inner) } }
  }

  func message(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) throws -> JSONMessage {
    if let message = messages[descriptor] { return message }
    throw JSONError("\(String(cString: descriptor.pointee.name)) is not in the registry")
  }

  func message(named name: String) -> JSONMessage? { byName[name] }
}

/// A message's form in JSON.
final class JSONMessage {
  enum Form { case fields, timestamp, duration, any, wrapper }

  let descriptor: UnsafePointer<ProtobufCMessageDescriptor>
  let name: String
  let form: Form
  let isMapEntry: Bool
  /// By ascending number.
  let fields: [JSONField]
  private let byName: [String: Int]

  init(_ descriptor: UnsafePointer<ProtobufCMessageDescriptor>) {
    self.descriptor = descriptor
    let name = String(cString: descriptor.pointee.name)
    self.name = name
    form = Self.form(name)
    isMapEntry = Registry.mapEntries.contains(name)
    let fields = (0..<Int(descriptor.pointee.n_fields)).map { JSONField(descriptor.pointee.fields + $0, of: name) }
    self.fields = fields
    var byName: [String: Int] = [:]
    for (index, field) in fields.enumerated() { byName[field.name] = index }
    for (index, field) in fields.enumerated() { byName[field.jsonName] = index }
    self.byName = byName
  }

  /// Both the JSON name and the name in the .proto file are accepted.
  func index(named name: String) -> Int? { byName[name] }

  private static func form(_ name: String) -> Form {
    switch name {
    case "google.protobuf.Timestamp": .timestamp
    case "google.protobuf.Duration": .duration
    case "google.protobuf.Any": .any
    case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
      "google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
      "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
      .wrapper
    default: .fields
    }
  }
}

struct JSONField {
  let name: String
  let jsonName: String
  let number: UInt32
  let type: ProtobufCType
  let isRepeated: Bool
  let isMap: Bool
  let isOneofMember: Bool
  /// Where the value, and its count or its oneof's case, are in the C struct.
  let offset: Int
  let quantifierOffset: Int
  let messageDescriptor: UnsafePointer<ProtobufCMessageDescriptor>?
  let enumDescriptor: UnsafePointer<ProtobufCEnumDescriptor>?

  init(_ field: UnsafePointer<ProtobufCFieldDescriptor>, of message: String) {
    name = String(cString: field.pointee.name)
    jsonName = Registry.jsonNames["\(message).\(name)"] ?? Self.lowerCamel(name)
    number = field.pointee.id
    type = field.pointee.type
    isRepeated = field.pointee.label == PROTOBUF_C_LABEL_REPEATED
    isOneofMember = field.pointee.flags & PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue != 0
    offset = Int(field.pointee.offset)
    quantifierOffset = Int(field.pointee.quantifier_offset)
    let descriptor = field.pointee.descriptor
    messageDescriptor =
      type == PROTOBUF_C_TYPE_MESSAGE ? descriptor?.assumingMemoryBound(to: ProtobufCMessageDescriptor.self) : nil
    enumDescriptor =
      type == PROTOBUF_C_TYPE_ENUM ? descriptor?.assumingMemoryBound(to: ProtobufCEnumDescriptor.self) : nil
    isMap = messageDescriptor.map { Registry.mapEntries.contains(String(cString: $0.pointee.name)) } ?? false
  }

  /// Bytes that one value takes in a C list.
  var stride: Int {
    switch type {
    case PROTOBUF_C_TYPE_BYTES: MemoryLayout<ProtobufCBinaryData>.stride
    case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64, PROTOBUF_C_TYPE_UINT64,
      PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_DOUBLE, PROTOBUF_C_TYPE_STRING, PROTOBUF_C_TYPE_MESSAGE:
      8
    default: 4
    }
  }

  /// protoc's rule for names in JSON: underscores go, the letter after one becomes a capital.
  static func lowerCamel(_ name: String) -> String {
    var result = ""
    var isUpper = false
    for character in name {
      if character == "_" {
        isUpper = true
      } else {
        result += isUpper ? character.uppercased() : String(character)
        isUpper = false
      }
    }
    return result
  }
}
