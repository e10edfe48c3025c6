import CDescriptors

/// Copies the descriptors of a request out of protobuf-c's structs.
///
/// The pointers are only valid while the request is alive; nothing here keeps one.
struct SchemaReader {
  private var comments: [[Int32]: String] = [:]
  private var package = ""
  /// The file is deprecated, and so is all that it declares.
  private var isDeprecated = false

  static func read(_ request: Google__Protobuf__Compiler__CodeGeneratorRequest) -> Schema {
    let requested = (0..<request.n_file_to_generate).map { text(request.file_to_generate[$0]) }
    let files = list(request.proto_file, request.n_proto_file) { descriptor, _ in
      var reader = SchemaReader()
      return reader.file(descriptor)
    }
    return Schema(files: files, requested: Set(requested))
  }

  private mutating func file(_ file: Google__Protobuf__FileDescriptorProto) -> ProtoFile {
    package = text(file.package)
    isDeprecated = file.options.map { $0.pointee.deprecated != 0 } ?? false
    if let info = file.source_code_info { comments = Self.comments(info.pointee) }
    return ProtoFile(
      path: text(file.name), package: package, syntax: text(file.syntax),
      messages: list(file.message_type, file.n_message_type) { message($0, scope: package, path: [4, $1]) },
      enums: list(file.enum_type, file.n_enum_type) { enumeration($0, scope: package, path: [5, $1]) },
      services: list(file.service, file.n_service) { service($0, path: [6, $1]) })
  }

  /// Paths are those of `SourceCodeInfo.Location` (descriptor.proto): field numbers and indices down from the file.
  private static func comments(_ info: Google__Protobuf__SourceCodeInfo) -> [[Int32]: String] {
    var comments: [[Int32]: String] = [:]
    for location in list(info.location, info.n_location, { location, _ in location }) {
      let leading = text(location.leading_comments)
      let comment = leading.isEmpty ? text(location.trailing_comments) : leading
      guard !comment.isEmpty else { continue }
      comments[Array(UnsafeBufferPointer(start: location.path, count: location.n_path))] = comment
    }
    return comments
  }

  private func message(
    _ message: Google__Protobuf__DescriptorProto, scope: String, path: [Int32]
  ) -> ProtoMessage {
    let fullName = join(scope, text(message.name))
    let options = message.options?.pointee
    return ProtoMessage(
      fullName: fullName, comment: comments[path] ?? "",
      isDeprecated: isDeprecated || options.map { $0.deprecated != 0 } ?? false,
      isMapEntry: options.map { $0.map_entry != 0 } ?? false,
      fields: list(message.field, message.n_field) { field($0, path: path + [2, $1]) },
      oneofs: list(message.oneof_decl, message.n_oneof_decl) {
        ProtoOneof(name: text($0.name), comment: comments[path + [8, $1]] ?? "")
      },
      messages: list(message.nested_type, message.n_nested_type) {
        self.message($0, scope: fullName, path: path + [3, $1])
      },
      enums: list(message.enum_type, message.n_enum_type) {
        enumeration($0, scope: fullName, path: path + [4, $1])
      })
  }

  private func field(_ field: Google__Protobuf__FieldDescriptorProto, path: [Int32]) -> ProtoField {
    ProtoField(
      name: text(field.name), number: field.number, kind: kind(field),
      isRepeated: field.label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
      isOptionalKeyword: field.proto3_optional != 0,
      oneof: field.has_oneof_index != 0 ? Int(field.oneof_index) : nil,
      jsonName: text(field.json_name), comment: comments[path] ?? "",
      isDeprecated: field.options.map { $0.pointee.deprecated != 0 } ?? false)
  }

  private func kind(_ field: Google__Protobuf__FieldDescriptorProto) -> ProtoField.Kind {
    // Type names are fully qualified, with a leading dot.
    let typeName = String(text(field.type_name).drop { $0 == "." })
    return switch field.type.rawValue {
    case 1: .double
    case 2: .float
    case 5, 15, 17: .int32
    case 3, 16, 18: .int64
    case 13, 7: .uint32
    case 4, 6: .uint64
    case 8: .bool
    case 9: .string
    case 12: .bytes
    case 11: .message(typeName)
    case 14: .enumeration(typeName)
    case 10: .unsupported("group")
    default: .unsupported("field type \(field.type.rawValue)")
    }
  }

  private func enumeration(
    _ descriptor: Google__Protobuf__EnumDescriptorProto, scope: String, path: [Int32]
  ) -> ProtoEnum {
    ProtoEnum(
      fullName: join(scope, text(descriptor.name)), comment: comments[path] ?? "",
      isDeprecated: isDeprecated || descriptor.options.map { $0.pointee.deprecated != 0 } ?? false,
      values: list(descriptor.value, descriptor.n_value) {
        ProtoEnumValue(
          name: text($0.name), number: $0.number, comment: comments[path + [2, $1]] ?? "",
          isDeprecated: $0.options.map { $0.pointee.deprecated != 0 } ?? false)
      })
  }

  private func service(_ service: Google__Protobuf__ServiceDescriptorProto, path: [Int32]) -> ProtoService {
    ProtoService(
      fullName: join(package, text(service.name)), comment: comments[path] ?? "",
      isDeprecated: isDeprecated || service.options.map { $0.pointee.deprecated != 0 } ?? false,
      methods: list(service.method, service.n_method) {
        ProtoMethod(
          name: text($0.name), input: String(text($0.input_type).drop { $0 == "." }),
          output: String(text($0.output_type).drop { $0 == "." }),
          isClientStreaming: $0.client_streaming != 0, isServerStreaming: $0.server_streaming != 0,
          comment: comments[path + [2, $1]] ?? "",
          isDeprecated: $0.options.map { $0.pointee.deprecated != 0 } ?? false)
      })
  }
}

private func join(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : "\(scope).\(name)" }

func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

/// A repeated message field of protobuf-c, each element with its index.
private func list<T, Result>(
  _ elements: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?, _ count: Int, _ transform: (T, Int32) -> Result
) -> [Result] {
  UnsafeBufferPointer(start: elements, count: count).enumerated().compactMap { index, element in
    element.map { transform($0.pointee, Int32(index)) }
  }
}
