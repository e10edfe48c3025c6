// What the generator needs of a set of .proto files, as plain values: everything after SchemaReader works on these.

struct Schema {
  var files: [ProtoFile]
  /// Files named on protoc's command line; the others are only there because they are imported.
  var requested: Set<String>

  var generated: [ProtoFile] { files.filter { requested.contains($0.path) } }
}

struct ProtoFile {
  var path: String
  var package: String
  var syntax: String
  var messages: [ProtoMessage]
  var enums: [ProtoEnum]
  var services: [ProtoService]
}

struct ProtoMessage {
  var fullName: String
  var comment: String
  var isDeprecated: Bool
  var isMapEntry: Bool
  var fields: [ProtoField]
  var oneofs: [ProtoOneof]
  var messages: [ProtoMessage]
  var enums: [ProtoEnum]

  var name: String { lastComponent(fullName) }
}

struct ProtoField {
  enum Kind: Hashable {
    case double, float, int32, int64, uint32, uint64, bool, string, bytes
    /// The full name of the type.
    case message(String)
    case enumeration(String)
    /// What protobuf-c or this generator has no form for, by name: "group".
    case unsupported(String)
  }

  var name: String
  var number: Int32
  var kind: Kind
  var isRepeated: Bool
  var isOptionalKeyword: Bool
  /// Index into the message's `oneofs`.
  var oneof: Int?
  var jsonName: String
  var comment: String
  var isDeprecated: Bool
}

struct ProtoOneof {
  var name: String
  var comment: String
}

struct ProtoEnum {
  var fullName: String
  var comment: String
  var isDeprecated: Bool
  var values: [ProtoEnumValue]

  var name: String { lastComponent(fullName) }
}

struct ProtoEnumValue {
  var name: String
  var number: Int32
  var comment: String
  var isDeprecated: Bool
}

struct ProtoService {
  var fullName: String
  var comment: String
  var isDeprecated: Bool
  var methods: [ProtoMethod]

  var name: String { lastComponent(fullName) }
}

struct ProtoMethod {
  var name: String
  var input: String
  var output: String
  var isClientStreaming: Bool
  var isServerStreaming: Bool
  var comment: String
  var isDeprecated: Bool
}

/// Why nothing can be generated; shown by protoc as the plugin's error.
struct GeneratorError: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) { self.description = description }
}

func lastComponent(_ dotted: String) -> String {
  dotted.split(separator: ".").last.map(String.init) ?? dotted
}
