/// Writes what ProtoJSON needs to know and protobuf-c's descriptors do not say: every message by name (for Any), which
/// messages are map entries, and names set with `json_name`.
struct RegistryWriter {
  let symbols: Symbols

  func write(_ files: [ProtoFile]) -> String {
    let messages = files.flatMap { all($0.messages) }.sorted { $0.fullName < $1.fullName }
    let entries = messages.filter(\.isMapEntry).map { "\"\($0.fullName)\"," }
    let types = messages.filter { !$0.isMapEntry }.map { "\(symbols.swiftName($0.fullName)).self," }
    let names = messages.flatMap { message in
      message.fields.filter { $0.jsonName != Self.derivedName($0.name) }
        .map { "\"\(message.fullName).\($0.name)\": \"\($0.jsonName)\"," }
    }
    var text = SourceText.header("all .proto files", imports: [])
    text.block("enum Registry") { text in
      text.line("static let types: [any NativeMessage.Type] = [")
      text.indented { text in types.forEach { text.line($0) } }
      text.line("]")
      text.line()
      text.line("static let mapEntries: Set<String> = [")
      text.indented { text in entries.forEach { text.line($0) } }
      text.line("]")
      text.line()
      text.line("/// JSON names that do not follow from the field's own name.")
      text.line("static let jsonNames: [String: String] = [" + (names.isEmpty ? ":]" : ""))
      guard !names.isEmpty else { return }
      text.indented { text in names.forEach { text.line($0) } }
      text.line("]")
    }
    return text.text
  }

  private func all(_ messages: [ProtoMessage]) -> [ProtoMessage] {
    messages.flatMap { [$0] + all($0.messages) }
  }

  /// protoc's rule: every letter after an underscore in capitals, underscores dropped.
  static func derivedName(_ name: String) -> String {
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
