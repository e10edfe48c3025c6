import Foundation
import Messages

/// Converts messages between their binary and JSON forms, for tests that compare with another implementation.
///
/// Standard input: requests, each a length (4 bytes, big-endian) and that many bytes: the operation, the length of the
/// message's name, the name, the content. Standard output: for each a length, "k" or "e", and the result or the error.
/// Operations: "j" binary to JSON, "d" the same with defaults, "n" with the .proto file's names; "w" JSON to binary,
/// "i" the same ignoring unknown fields; "b" binary to binary.
@main
enum Main {
  static func main() {
    while let header = read(4), header.count == 4 {
      let length = header.reduce(0) { $0 << 8 | Int($1) }
      guard let request = read(length), request.count == length else { return }
      do {
        reply("k", try Converter.run(request))
      } catch {
        reply("e", Array("\(error)".utf8))
      }
    }
  }

  private static func read(_ count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    while bytes.count < count {
      guard let data = try? FileHandle.standardInput.read(upToCount: count - bytes.count), !data.isEmpty else {
        return bytes.isEmpty ? nil : bytes
      }
      bytes += data
    }
    return bytes
  }

  private static func reply(_ status: Character, _ content: [UInt8]) {
    let length = UInt32(content.count + 1)
    let header = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) }
    FileHandle.standardOutput.write(Data(header + [status.asciiValue ?? 0] + content))
  }
}

struct UsageError: Error, CustomStringConvertible {
  let description: String
}

enum Converter {
  static func run(_ request: [UInt8]) throws -> [UInt8] {
    guard request.count >= 2, request.count >= 2 + Int(request[1]) else {
      throw UsageError(description: "a request without a name")
    }
    let name = String(decoding: request[2..<2 + Int(request[1])], as: UTF8.self)
    let content = Array(request[(2 + Int(request[1]))...])
    let types: [any ProtobufMessage.Type] = [
      EveryField.self, Leaf.self, Mission.self, GoogleProtobufTimestamp.self, GoogleProtobufDuration.self,
      GoogleProtobufAny.self, GoogleProtobufStringValue.self,
    ]
    guard let type = types.first(where: { $0.messageName == name }) else {
      throw UsageError(description: "unknown message \(name)")
    }
    return try convert(type, Character(Unicode.Scalar(request[0])), content)
  }

  private static func convert<M: ProtobufMessage>(
    _ type: M.Type, _ operation: Character, _ content: [UInt8]
  ) throws -> [UInt8] {
    switch operation {
    case "j": return try ProtoJSON.encodeBytes(M(wire: content))
    case "d": return try ProtoJSON.encodeBytes(M(wire: content), options: .init(emitDefaults: true))
    case "n": return try ProtoJSON.encodeBytes(M(wire: content), options: .init(preserveNames: true))
    case "w": return try ProtoJSON.decode(M.self, from: content).bytes()
    case "i": return try ProtoJSON.decode(M.self, from: content, options: .init(ignoreUnknownFields: true)).bytes()
    case "b": return try M(wire: content).bytes()
    default: throw UsageError(description: "unknown operation \(operation)")
    }
  }
}
