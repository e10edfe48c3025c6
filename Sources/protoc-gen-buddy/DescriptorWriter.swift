import CDescriptors
import CProtobufC
import Foundation

/// Writes the FileDescriptorProto of every file, imported ones included, for reflection. As text the compiler takes
/// them for constants, at no cost; without comments and positions they are small.
enum DescriptorWriter {
  private static let lineLength = 110

  static func write(_ request: Google__Protobuf__Compiler__CodeGeneratorRequest) -> GeneratedFile {
    var text = SourceText.header("all .proto files", imports: [])
    text.line("/// What reflection serves of this module: its .proto files, as descriptors.")
    text.block("public enum Descriptors") { text in
      text.line("/// A FileDescriptorProto each, in base64, behind those that it imports.")
      text.line("public static let files: [StaticString] = [")
      text.indented { text in
        for index in 0..<request.n_proto_file {
          if let file = request.proto_file[index] { write(packed(file), to: &text) }
        }
      }
      text.line("]")
    }
    return GeneratedFile(name: "Descriptors.swift", content: text.text)
  }

  private static func write(_ bytes: [UInt8], to text: inout SourceText) {
    let encoded = Data(bytes).base64EncodedString()
    text.line("\"\"\"")
    var rest = Substring(encoded)
    while !rest.isEmpty {
      let line = rest.prefix(lineLength)
      rest = rest.dropFirst(lineLength)
      text.line(line + (rest.isEmpty ? "" : "\\"))
    }
    text.line("\"\"\",")
  }

  /// Comments and positions in the source are protoc's business with generators alone.
  private static func packed(_ file: UnsafeMutablePointer<Google__Protobuf__FileDescriptorProto>) -> [UInt8] {
    let source = file.pointee.source_code_info
    file.pointee.source_code_info = nil
    defer { file.pointee.source_code_info = source }
    let size = google__protobuf__file_descriptor_proto__get_packed_size(file)
    return [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
      count = google__protobuf__file_descriptor_proto__pack(file, bytes.baseAddress)
    }
  }
}
