/// The pieces of Swift that one field needs: its type, how it is read from the C struct and written to it.
struct FieldCode {
  let field: ProtoField
  let symbols: Symbols
  private let entry: ProtoMessage?

  init(_ field: ProtoField, _ symbols: Symbols) {
    self.field = field
    self.symbols = symbols
    entry = symbols.mapEntry(field)
  }

  var name: String { SwiftNames.member(field.name) }

  /// The stored property: another one than the public property where that is deprecated, so that generated code
  /// itself uses nothing deprecated.
  var stored: String { field.isDeprecated ? "_" + SwiftNames.lowerCamel(field.name) : name }

  var type: String {
    if let entry { return "[\(valueType(entry.fields[0].kind)): \(valueType(entry.fields[1].kind))]" }
    let type = valueType(field.kind)
    if field.isRepeated { return "[\(type)]" }
    return isMessage(field.kind) ? type + "?" : type
  }

  var defaultValue: String {
    if entry != nil { return "[:]" }
    if field.isRepeated { return "[]" }
    return switch field.kind {
    case .message: "nil"
    case .string: "\"\""
    case .bytes: "[]"
    case .bool: "false"
    case .enumeration(let name): symbols.defaultCase(name)
    default: "0"
    }
  }

  /// The type of one value, as in a list or a oneof.
  var elementType: String { valueType(field.kind) }

  // MARK: - C struct → Swift

  func read(_ source: String = "c") -> String {
    let member = "\(source).pointee.\(CNames.member(field.name))"
    let count = "\(source).pointee.n_\(field.name.lowercased())"
    if let entry {
      let key = entry.fields[0].kind
      let value = entry.fields[1].kind
      let valueCode =
        isMessage(value)
        ? "CValue.message($0.pointee.value) ?? .init()" : readValue(value, "$0.pointee.value")
      return "CValue.map(\(member), \(count)) { (\(readValue(key, "$0.pointee.key")), \(valueCode)) }"
    }
    if field.isRepeated {
      switch field.kind {
      case .message: return "CValue.messages(\(member), \(count))"
      case .string, .bytes, .bool, .enumeration:
        return "CValue.list(\(member), \(count)) { \(readValue(field.kind, "$0")) }"
      default: return "CValue.list(\(member), \(count))"
      }
    }
    return readValue(field.kind, member)
  }

  private func readValue(_ kind: ProtoField.Kind, _ source: String) -> String {
    switch kind {
    case .string: "CValue.string(\(source))"
    case .bytes: "CValue.bytes(\(source))"
    case .bool: "\(source) != 0"
    case .enumeration: ".init(rawValue: .init(truncatingIfNeeded: \(source).rawValue))"
    case .message: "CValue.message(\(source))"
    default: source
    }
  }

  // MARK: - Swift → C struct

  func write(into text: inout SourceText) {
    let target = "c.pointee.\(CNames.member(field.name))"
    let source = "self.\(stored)"
    if let entry { return writeMap(entry, into: &text) }
    if field.isRepeated { return writeList(into: &text) }
    switch field.kind {
    case .string, .bytes:
      text.line("if !\(source).isEmpty { \(target) = \(writeValue(field.kind, source)) }")
    case .message:
      text.line("if let value = \(source) { \(target) = \(writeValue(field.kind, "value")) }")
    default:
      text.line("\(target) = \(writeValue(field.kind, source))")
    }
  }

  /// A member of a oneof: `value` is bound by the case.
  func writeOneofMember(oneof: String, into text: inout SourceText) {
    text.line("case .\(name)(let value):")
    text.indented {
      $0.line("c.pointee.\(oneof.lowercased())_case = .init(rawValue: \(field.number))")
      $0.line("c.pointee.\(CNames.member(field.name)) = \(writeValue(field.kind, "value"))")
    }
  }

  private func writeValue(_ kind: ProtoField.Kind, _ source: String) -> String {
    switch kind {
    case .string: "try arena.string(\(source))"
    case .bytes: "try arena.bytes(\(source))"
    case .bool: "\(source) ? 1 : 0"
    case .enumeration: ".init(rawValue: .init(truncatingIfNeeded: \(source).rawValue))"
    case .message: "try arena.message(\(source))"
    default: source
    }
  }

  private func writeList(into text: inout SourceText) {
    let pair = "(c.pointee.n_\(field.name.lowercased()), c.pointee.\(CNames.member(field.name)))"
    let source = "self.\(stored)"
    switch field.kind {
    case .string: text.line("\(pair) = try arena.strings(\(source))")
    case .bytes: text.line("\(pair) = try arena.byteStrings(\(source))")
    case .message: text.line("\(pair) = try arena.messages(\(source))")
    case .bool, .enumeration:
      text.statement("\(pair) = try arena.list(\(source)) { \(writeValue(field.kind, "$0")) }")
    default: text.line("\(pair) = try arena.list(\(source))")
    }
  }

  private func writeMap(_ entry: ProtoMessage, into text: inout SourceText) {
    let target = "c.pointee.\(CNames.member(field.name))"
    text.line("(c.pointee.n_\(field.name.lowercased()), \(target)) = try arena.map(")
    text.indented {
      $0.line("self.\(stored), \(CNames.function(entry.fullName))__init")
    }
    text.line(") { entry, key, value, arena in")
    text.indented {
      $0.line("entry.pointee.key = \(writeValue(entry.fields[0].kind, "key"))")
      $0.line("entry.pointee.value = \(writeValue(entry.fields[1].kind, "value"))")
    }
    text.line("}")
  }

  // MARK: - Types

  private func valueType(_ kind: ProtoField.Kind) -> String {
    switch kind {
    case .double: "Double"
    case .float: "Float"
    case .int32: "Int32"
    case .int64: "Int64"
    case .uint32: "UInt32"
    case .uint64: "UInt64"
    case .bool: "Bool"
    case .string: "String"
    case .bytes: "[UInt8]"
    case .message(let name), .enumeration(let name): symbols.swiftName(name)
    case .unsupported(let what): what
    }
  }

  private func isMessage(_ kind: ProtoField.Kind) -> Bool {
    if case .message = kind { true } else { false }
  }
}
