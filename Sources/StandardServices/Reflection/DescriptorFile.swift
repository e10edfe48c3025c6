/// What reflection has to know of one `google.protobuf.FileDescriptorProto`: its name, its imports, and every name that
/// it declares. Read straight from the wire, for that takes four kinds of fields of `descriptor.proto`.
struct DescriptorFile: Sendable {
  struct Malformed: Error {}

  let bytes: [UInt8]
  private(set) var name = ""
  private(set) var imports: [String] = []
  /// Fully qualified: services, methods, messages, fields, oneofs, enums, their values, extensions.
  private(set) var symbols: [String] = []
  /// Fully qualified names of the messages among them.
  private(set) var messages: [String] = []

  /// - Throws: `Malformed` where the bytes are no such message.
  init(_ bytes: [UInt8]) throws {
    self.bytes = bytes
    var package = ""
    try Self.forEachField(bytes[...]) { number, value in
      switch number {
      case 1: name = Self.text(value)
      case 2: package = Self.text(value)
      case 3: imports.append(Self.text(value))
      default: break
      }
    }
    // Fields may come in any order, so the package is known only now.
    try Self.forEachField(bytes[...]) { number, value in
      switch number {
      case 4: try addMessage(value, in: package)
      case 5: try addEnum(value, in: package)
      case 6: try addService(value, in: package)
      case 7: _ = try add(value, in: package)
      default: break
      }
    }
    if name.isEmpty { throw Malformed() }
  }

  // MARK: - What is declared

  /// DescriptorProto: field 2, nested_type 3, enum_type 4, extension 6, oneof_decl 8.
  private mutating func addMessage(_ bytes: ArraySlice<UInt8>, in scope: String) throws {
    let name = try add(bytes, in: scope)
    messages.append(name)
    try Self.forEachField(bytes) { number, value in
      switch number {
      case 2, 6, 8: _ = try add(value, in: name)
      case 3: try addMessage(value, in: name)
      case 4: try addEnum(value, in: name)
      default: break
      }
    }
  }

  /// EnumDescriptorProto: value 2. Values belong to the scope around their enum, as in C++.
  private mutating func addEnum(_ bytes: ArraySlice<UInt8>, in scope: String) throws {
    _ = try add(bytes, in: scope)
    try Self.forEachField(bytes) { number, value in
      if number == 2 { _ = try add(value, in: scope) }
    }
  }

  /// ServiceDescriptorProto: method 2.
  private mutating func addService(_ bytes: ArraySlice<UInt8>, in scope: String) throws {
    let name = try add(bytes, in: scope)
    try Self.forEachField(bytes) { number, value in
      if number == 2 { _ = try add(value, in: name) }
    }
  }

  /// Every one of these has its name in field 1.
  private mutating func add(_ bytes: ArraySlice<UInt8>, in scope: String) throws -> String {
    var name = ""
    try Self.forEachField(bytes) { number, value in
      if number == 1 { name = Self.text(value) }
    }
    if name.isEmpty { throw Malformed() }
    let full = scope.isEmpty ? name : "\(scope).\(name)"
    symbols.append(full)
    return full
  }

  // MARK: - The wire

  private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

  /// The fields of a message that have bytes as value; others are passed over.
  private static func forEachField(
    _ bytes: ArraySlice<UInt8>, _ body: (_ number: UInt64, _ value: ArraySlice<UInt8>) throws -> Void
  ) throws {
    var rest = bytes
    while !rest.isEmpty {
      let tag = try varint(&rest)
      switch tag & 7 {
      case 0: _ = try varint(&rest)
      case 1: _ = try take(8, from: &rest)
      case 2: try body(tag >> 3, take(varint(&rest), from: &rest))
      case 5: _ = try take(4, from: &rest)
      default: throw Malformed()
      }
    }
  }

  private static func take(_ count: UInt64, from rest: inout ArraySlice<UInt8>) throws -> ArraySlice<UInt8> {
    guard count <= rest.count else { throw Malformed() }
    defer { rest = rest.dropFirst(Int(count)) }
    return rest.prefix(Int(count))
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: UInt64(64), by: 7) {
      guard let byte = rest.popFirst() else { throw Malformed() }
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw Malformed()
  }
}
