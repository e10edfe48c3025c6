/// Writes a file's messages and enums as Swift values, with the code that moves them to and from protobuf-c's structs.
struct MessageWriter {
  let symbols: Symbols

  func write(_ file: ProtoFile) -> String {
    var text = SourceText.header(file.path, imports: ["import CMessages", "public import NIOCore"])
    for value in file.enums {
      text.line()
      EnumWriter.write(value, name: symbols.swiftName(value.fullName), into: &text)
    }
    for message in file.messages {
      text.line()
      declare(message, into: &text)
    }
    for message in all(file.messages) {
      text.line()
      convert(message, into: &text)
    }
    return text.text
  }

  private func all(_ messages: [ProtoMessage]) -> [ProtoMessage] {
    messages.filter { !$0.isMapEntry }.flatMap { [$0] + all($0.messages) }
  }

  private func fields(_ message: ProtoMessage) -> [FieldCode] {
    message.fields.filter { $0.oneof == nil }.map { FieldCode($0, symbols) }
  }

  private func members(_ message: ProtoMessage, ofOneof index: Int) -> [FieldCode] {
    message.fields.filter { $0.oneof == index }.map { FieldCode($0, symbols) }
  }

  // MARK: - The struct

  private func declare(_ message: ProtoMessage, into text: inout SourceText) {
    text.doc(message.comment, isDeprecated: message.isDeprecated)
    let name = lastComponent(symbols.swiftName(message.fullName))
    text.block("public struct \(name): ProtobufMessage") { text in
      text.line("public static var messageName: String { \"\(message.fullName)\" }")
      for value in message.enums {
        text.line()
        EnumWriter.write(value, name: value.name, into: &text)
      }
      for nested in message.messages where !nested.isMapEntry {
        text.line()
        declare(nested, into: &text)
      }
      for index in message.oneofs.indices { declareOneof(message, index, into: &text) }
      if !message.fields.isEmpty { text.line() }
      for code in fields(message) { declareField(code, into: &text) }
      for oneof in message.oneofs {
        text.doc(oneof.comment)
        text.line("public var \(SwiftNames.member(oneof.name)): \(SwiftNames.upperCamel(oneof.name))?")
      }
      text.line()
      declareInitializers(message, into: &text)
    }
  }

  private func declareField(_ code: FieldCode, into text: inout SourceText) {
    text.doc(code.field.comment)
    guard code.field.isDeprecated else { return text.line("public var \(code.name): \(code.type)") }
    text.line("@available(*, deprecated)")
    text.block("public var \(code.name): \(code.type)") {
      $0.line("get { \(code.stored) }")
      $0.line("set { \(code.stored) = newValue }")
    }
    text.line("var \(code.stored): \(code.type)")
  }

  private func declareOneof(_ message: ProtoMessage, _ index: Int, into text: inout SourceText) {
    text.line()
    text.doc(message.oneofs[index].comment)
    text.block("public enum \(SwiftNames.upperCamel(message.oneofs[index].name)): Sendable, Hashable") { text in
      for code in members(message, ofOneof: index) {
        text.doc(code.field.comment, isDeprecated: code.field.isDeprecated)
        text.line("case \(code.name)(\(code.elementType))")
      }
    }
  }

  private func declareInitializers(_ message: ProtoMessage, into text: inout SourceText) {
    let fields = fields(message)
    let oneofs = message.oneofs.map { (name: SwiftNames.member($0.name), type: SwiftNames.upperCamel($0.name)) }
    text.block("public init()") { text in
      for code in fields { text.line("self.\(code.stored) = \(code.defaultValue)") }
    }
    guard !message.fields.isEmpty else { return declareWire(into: &text) }
    text.line()
    let parameters =
      fields.map { "\($0.name): \($0.type) = \($0.defaultValue)" } + oneofs.map { "\($0.name): \($0.type)? = nil" }
    text.list("public init(", parameters, ") {")
    text.indented { text in
      for code in fields { text.line("self.\(code.stored) = \(code.name)") }
      for oneof in oneofs { text.line("self.\(oneof.name) = \(oneof.name)") }
    }
    text.line("}")
    declareWire(into: &text)
  }

  private func declareWire(into text: inout SourceText) {
    text.line()
    text.block("public init(wire: ByteBuffer, limits: WireLimits) throws") {
      $0.line("self = try Wire.decode(wire, limits)")
    }
    text.line()
    text.block("public func encode(into buffer: inout ByteBuffer) throws") {
      $0.line("try Wire.encode(self, into: &buffer)")
    }
  }

  // MARK: - To and from C

  private func convert(_ message: ProtoMessage, into text: inout SourceText) {
    let type = CNames.type(message.fullName)
    let initialize = CNames.function(message.fullName) + "__init"
    text.block("extension \(symbols.swiftName(message.fullName)): NativeMessage") { text in
      text.line("nonisolated(unsafe) static let descriptor = CValue.descriptor(\(initialize))")
      text.line()
      text.block("static func prepare(_ c: UnsafeMutablePointer<\(type)>)") { $0.line("\(initialize)(c)") }
      text.line()
      text.block("init(c: UnsafePointer<\(type)>)") { text in
        text.line("self.init()")
        for code in fields(message) { text.statement("self.\(code.stored) = \(code.read())") }
        for index in message.oneofs.indices { readOneof(message, index, into: &text) }
      }
      text.line()
      text.block("func fill(_ c: UnsafeMutablePointer<\(type)>, _ arena: inout Arena) throws") { text in
        for code in fields(message) { code.write(into: &text) }
        for index in message.oneofs.indices { writeOneof(message, index, into: &text) }
      }
    }
  }

  private func readOneof(_ message: ProtoMessage, _ index: Int, into text: inout SourceText) {
    let oneof = message.oneofs[index]
    text.line("switch c.pointee.\(oneof.name.lowercased())_case.rawValue {")
    for code in members(message, ofOneof: index) {
      let target = "self.\(SwiftNames.member(oneof.name))"
      if case .message = code.field.kind {
        text.line("case \(code.field.number): \(target) = \(code.read()).map { .\(code.name)($0) }")
      } else {
        text.line("case \(code.field.number): \(target) = .\(code.name)(\(code.read()))")
      }
    }
    text.line("default: break")
    text.line("}")
  }

  private func writeOneof(_ message: ProtoMessage, _ index: Int, into text: inout SourceText) {
    let oneof = message.oneofs[index]
    text.line("switch self.\(SwiftNames.member(oneof.name)) {")
    for code in members(message, ofOneof: index) { code.writeOneofMember(oneof: oneof.name, into: &text) }
    text.line("case nil: break")
    text.line("}")
  }
}
