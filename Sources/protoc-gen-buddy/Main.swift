import CDescriptors
import CProtobufC
import Foundation

/// A protoc plugin: reads a CodeGeneratorRequest from standard input, writes a CodeGeneratorResponse to standard
/// output.
///
/// `--buddy_opt=messages` gives the Swift values, `--buddy_opt=stubs` the handler protocols and clients,
/// `--buddy_opt=descriptors` what reflection serves: the files themselves.
@main
enum Main {
  static func main() {
    let input = [UInt8](FileHandle.standardInput.readDataToEndOfFile())
    let request = input.withUnsafeBufferPointer {
      google__protobuf__compiler__code_generator_request__unpack(nil, $0.count, $0.baseAddress)
    }
    guard let request else {
      FileHandle.standardError.write(Data("protoc-gen-buddy: standard input is not a CodeGeneratorRequest\n".utf8))
      exit(1)
    }
    let result = Result {
      let parameter = text(request.pointee.parameter)
      if parameter == "descriptors" { return [DescriptorWriter.write(request.pointee)] }
      return try Generator.generate(SchemaReader.read(request.pointee), parameter: parameter)
    }
    google__protobuf__compiler__code_generator_request__free_unpacked(request, nil)
    FileHandle.standardOutput.write(Data(Response.encode(result)))
  }
}

struct GeneratedFile {
  var name: String
  var content: String
}

enum Generator {
  static func generate(_ schema: Schema, parameter: String) throws -> [GeneratedFile] {
    let symbols = try Symbols(schema)
    switch parameter {
    case "messages":
      let writer = MessageWriter(symbols: symbols)
      let files = schema.generated.filter { !$0.messages.isEmpty || !$0.enums.isEmpty }
        .map { GeneratedFile(name: fileName($0.path), content: writer.write($0)) }
      let registry = RegistryWriter(symbols: symbols).write(schema.generated)
      return files + [GeneratedFile(name: "Registry.swift", content: registry)]
    case "stubs":
      let writer = ServiceWriter(symbols: symbols)
      return schema.generated.compactMap { file in
        writer.write(file).map { GeneratedFile(name: fileName(file.path), content: $0) }
      }
    default:
      throw GeneratorError(
        "unknown parameter \"\(parameter)\": pass --buddy_opt=messages, --buddy_opt=stubs or --buddy_opt=descriptors")
    }
  }

  /// Swift wants different base names in one module: the folders become part of it.
  private static func fileName(_ path: String) -> String {
    let stem = path.hasSuffix(".proto") ? String(path.dropLast(6)) : path
    return stem.split(separator: "/").joined(separator: "_") + ".swift"
  }
}

/// Packs a CodeGeneratorResponse; an error goes into its `error` field, as the protocol of plugins wants it.
enum Response {
  static func encode(_ result: Result<[GeneratedFile], any Error>) -> [UInt8] {
    var response = Google__Protobuf__Compiler__CodeGeneratorResponse()
    google__protobuf__compiler__code_generator_response__init(&response)
    var strings: [UnsafeMutablePointer<CChar>] = []
    func copy(_ text: String) -> UnsafeMutablePointer<CChar>? {
      let pointer = strdup(text)
      if let pointer { strings.append(pointer) }
      return pointer
    }
    defer { strings.forEach { free($0) } }

    var files: [GeneratedFile] = []
    switch result {
    case .success(let generated): files = generated
    case .failure(let error): response.error = copy("\(error)")
    }
    let structs = UnsafeMutablePointer<Google__Protobuf__Compiler__CodeGeneratorResponse__File>.allocate(
      capacity: files.count)
    defer { structs.deallocate() }
    for (index, file) in files.enumerated() {
      google__protobuf__compiler__code_generator_response__file__init(structs + index)
      structs[index].name = copy(file.name)
      structs[index].content = copy(file.content)
    }
    var pointers: [UnsafeMutablePointer<Google__Protobuf__Compiler__CodeGeneratorResponse__File>?] =
      files.indices.map { structs + $0 }
    return pointers.withUnsafeMutableBufferPointer { buffer in
      response.n_file = buffer.count
      response.file = buffer.baseAddress
      let size = google__protobuf__compiler__code_generator_response__get_packed_size(&response)
      return [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
        count = google__protobuf__compiler__code_generator_response__pack(&response, bytes.baseAddress)
      }
    }
  }
}
