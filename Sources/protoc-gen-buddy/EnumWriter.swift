/// Writes a proto3 enum: open, so a number without a name is kept as `unrecognized`.
enum EnumWriter {
  static func write(_ value: ProtoEnum, name: String, into text: inout SourceText) {
    // Where `allow_alias` gives one number several names, the first is the case and the others stand for it.
    var cases: [ProtoEnumValue] = []
    var aliases: [(ProtoEnumValue, ProtoEnumValue)] = []
    for candidate in value.values {
      if let first = cases.first(where: { $0.number == candidate.number }) {
        aliases.append((candidate, first))
      } else {
        cases.append(candidate)
      }
    }
    let swift = { (proto: ProtoEnumValue) in SwiftNames.enumCase(proto.name, of: value) }

    text.doc(value.comment, isDeprecated: value.isDeprecated)
    text.block("public enum \(name): Sendable, Hashable") { text in
      for proto in cases {
        text.doc(proto.comment, isDeprecated: proto.isDeprecated)
        text.line("case \(swift(proto))")
      }
      text.line("/// A number that this version has no name for.")
      text.line("case unrecognized(Int32)")
      for (alias, original) in aliases {
        text.line()
        text.line("public static var \(swift(alias)): Self { .\(swift(original)) }")
      }
      text.line()
      text.line("/// Every named value, in the order of the .proto file.")
      text.list("public static let allKnown: [Self] = [", cases.map { "." + swift($0) }, "]")
      writeConversions(cases, swift, into: &text)
    }
  }

  private static func writeConversions(
    _ cases: [ProtoEnumValue], _ swift: (ProtoEnumValue) -> String, into text: inout SourceText
  ) {
    text.line()
    text.block("public init(rawValue: Int32)") { text in
      text.line("self =")
      text.indented { text in
        text.line("switch rawValue {")
        for proto in cases { text.line("case \(proto.number): .\(swift(proto))") }
        text.line("default: .unrecognized(rawValue)")
        text.line("}")
      }
    }
    text.line()
    text.block("public var rawValue: Int32") { text in
      text.line("switch self {")
      for proto in cases { text.line("case .\(swift(proto)): \(proto.number)") }
      text.line("case .unrecognized(let number): number")
      text.line("}")
    }
    text.line()
    text.line("/// The name in the .proto file; the number where it has none.")
    text.block("public var protoName: String") { text in
      text.line("switch self {")
      for proto in cases { text.line("case .\(swift(proto)): \"\(proto.name)\"") }
      text.line("case .unrecognized(let number): \"\\(number)\"")
      text.line("}")
    }
  }
}
