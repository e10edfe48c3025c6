import CProtobufC

/// The canonical JSON form of proto3 messages (protobuf.dev/programming-guides/json), both ways.
public enum ProtoJSON {
  public struct Options: Sendable, Hashable {
    /// Decoding: skip fields, and names of enum values, that the .proto file does not have, instead of refusing them.
    public var ignoreUnknownFields: Bool
    /// Encoding: write scalars, lists and maps at their default too.
    public var emitDefaults: Bool
    /// Encoding: write "mission_id" as the .proto file has it, instead of "missionId". Decoding takes both always.
    public var preserveNames: Bool
    /// Decoding: objects and lists inside each other.
    public var maximumDepth: Int

    public init(
      ignoreUnknownFields: Bool = false, emitDefaults: Bool = false, preserveNames: Bool = false,
      maximumDepth: Int = 64
    ) {
      self.ignoreUnknownFields = ignoreUnknownFields
      self.emitDefaults = emitDefaults
      self.preserveNames = preserveNames
      self.maximumDepth = maximumDepth
    }
  }

  /// Throws JSONError for a value that JSON has no form for: a Timestamp or Duration out of range, an Any of a type
  /// that is not known here, a string with a NUL character.
  public static func encode(_ message: some ProtobufMessage, options: Options = .init()) throws -> String {
    String(decoding: try encodeBytes(message, options: options), as: UTF8.self)
  }

  /// The same as UTF-8.
  public static func encodeBytes(_ message: some ProtobufMessage, options: Options = .init()) throws -> [UInt8] {
    guard let native = message as? any NativeMessage else { throw notGenerated(type(of: message).messageName) }
    return try encodeNative(native, options)
  }

  /// Throws JSONError, which says where and what was expected.
  public static func decode<M: ProtobufMessage>(
    _ type: M.Type, from text: String, options: Options = .init()
  ) throws -> M {
    try decode(type, from: Array(text.utf8), options: options)
  }

  /// Throws JSONError, which says where and what was expected.
  public static func decode<M: ProtobufMessage>(
    _ type: M.Type, from text: [UInt8], options: Options = .init()
  ) throws -> M {
    guard let native = type as? any NativeMessage.Type,
      let message = try decodeNative(native, text, options) as? M
    else { throw notGenerated(type.messageName) }
    return message
  }

  private static func notGenerated(_ name: String) -> JSONError {
    JSONError("\(name) is not a generated message")
  }

  private static func encodeNative<M: NativeMessage>(_ message: M, _ options: Options) throws -> [UInt8] {
    let schema = try JSONSchema.shared.message(M.descriptor)
    do {
      return try Arena.with(budget: .max) { arena in
        var writer = JSONWriter(options: options)
        try writer.message(UnsafeRawPointer(try arena.message(message)), schema, &arena)
        return writer.text
      }
    } catch let error as WireError {
      throw JSONError(error.message)
    }
  }

  private static func decodeNative<M: NativeMessage>(
    _ type: M.Type, _ text: [UInt8], _ options: Options
  ) throws -> any NativeMessage {
    let value = try JSONReader.read(text, maximumDepth: options.maximumDepth)
    let schema = try JSONSchema.shared.message(M.descriptor)
    // A C struct takes more room than its text; this bounds what `[{},{},…]` can take.
    return try Arena.with(budget: text.count * 64 + (64 << 10)) { arena in
      var binder = JSONBinder(options: options)
      let c = try binder.message(value, schema, &arena)
      return M(c: UnsafeRawPointer(c).assumingMemoryBound(to: M.C.self))
    }
  }
}

/// Why a JSON text is not the message, or the message has no JSON form.
public struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Where, for example "inputs[2].artifactId"; empty for the whole.
  public var path: String
  public var message: String

  public init(_ message: String, path: String = "") {
    self.message = message
    self.path = path
  }

  public var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// Where in a message the codec is, for error messages.
struct JSONPath {
  enum Step {
    case name(String)
    case index(Int)
  }

  private var steps: [Step] = []

  mutating func push(_ step: Step) { steps.append(step) }
  mutating func pop() { steps.removeLast() }
  var depth: Int { steps.count }

  func error(_ message: String) -> JSONError {
    var path = ""
    for step in steps {
      switch step {
      case .name(let name): path += path.isEmpty ? name : "." + name
      case .index(let index): path += "[\(index)]"
      }
    }
    return JSONError(message, path: path)
  }
}
