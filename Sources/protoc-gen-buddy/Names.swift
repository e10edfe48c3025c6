// How a name of a .proto file is spelled in Swift, and in the C code that protoc-c makes of it.

enum SwiftNames {
  /// "has_side_effects" → "hasSideEffects"; keywords get backticks.
  static func member(_ protoName: String) -> String { escaped(lowerCamel(protoName)) }

  static func lowerCamel(_ name: String) -> String {
    let words = name.split(separator: "_").map(String.init)
    guard let first = words.first else { return name }
    return lowerFirst(first) + words.dropFirst().map(upperFirst).joined()
  }

  static func upperCamel(_ name: String) -> String {
    name.split(separator: "_").map { upperFirst(String($0)) }.joined()
  }

  /// "MISSION_STATE_PENDING_APPROVAL" of MissionState → "pendingApproval".
  static func enumCase(_ value: String, of enumeration: ProtoEnum) -> String {
    let prefix = screaming(enumeration.name) + "_"
    let stripped = value.dropFirst(prefix.count)
    let canStrip = enumeration.values.allSatisfy {
      $0.name.hasPrefix(prefix) && ($0.name.dropFirst(prefix.count).first?.isLetter ?? false)
    }
    return escaped(lowerCamel((canStrip ? String(stripped) : value).lowercased()))
  }

  /// "buddy.mission.v1" has no prefix; "google.protobuf" gives "GoogleProtobuf".
  static func prefix(ofPackage package: String) -> String {
    if package == "buddy" || package.hasPrefix("buddy.") { return "" }
    return package.split(separator: ".").map { upperCamel(String($0)) }.joined()
  }

  /// The name of a top-level type or service of a package.
  ///
  /// A name that Swift's standard library has would hide it from everyone who imports the module, so such a name
  /// gets its area in front: "buddy.common.v1.Error" → "CommonError".
  static func topLevel(_ name: String, package: String) -> String {
    let prefix = prefix(ofPackage: package)
    guard prefix.isEmpty, standardLibrary.contains(name) else { return prefix + name }
    let area = package.split(separator: ".").dropFirst().first.map { upperCamel(String($0)) } ?? "Buddy"
    return area + name
  }

  static func escaped(_ name: String) -> String {
    switch name {
    case "self", "Self", "Type", "Protocol": name + "_"
    case _ where keywords.contains(name): "`\(name)`"
    default: name
    }
  }

  static func upperFirst(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() }

  static func lowerFirst(_ text: String) -> String { text.prefix(1).lowercased() + text.dropFirst() }

  /// "MissionState" → "MISSION_STATE".
  private static func screaming(_ name: String) -> String {
    var result = ""
    var previous: Character?
    for character in name {
      if character.isUppercase, let previous, !previous.isUppercase { result += "_" }
      result += character.uppercased()
      previous = character
    }
    return result
  }

  /// Members that every generated type has or inherits; a field or case may not be called so.
  static let reservedMembers: Set<String> = [
    "hashValue", "messageName", "descriptor", "encode", "fill", "prepare", "rawValue", "protoName", "allKnown",
    "unrecognized",
  ]

  static let standardLibrary: Set<String> = [
    "Any", "AnyObject", "Array", "Bool", "Character", "Clock", "Codable", "Collection", "Comparable", "Data", "Date",
    "Decodable", "Dictionary", "Double", "Duration", "Encodable", "Equatable", "Error", "Float", "Hashable", "Hasher",
    "Identifiable", "Instant", "Int", "Int32", "Int64", "Iterator", "Mirror", "Never", "Optional", "Range", "Result",
    "Sendable", "Sequence", "Set", "Span", "String", "Substring", "Task", "Type", "UInt", "UInt32", "UInt64", "URL",
    "UUID", "Void",
  ]

  private static let keywords: Set<String> = [
    "actor", "as", "associatedtype", "async", "await", "break", "case", "catch", "class", "continue", "default",
    "defer", "deinit", "do", "else", "enum", "extension", "fallthrough", "false", "fileprivate", "for", "func",
    "guard", "if", "import", "in", "init", "inout", "internal", "is", "let", "nil", "open", "operator", "package",
    "precedencegroup", "private", "protocol", "public", "repeat", "rethrows", "return", "static", "struct",
    "subscript", "super", "switch", "throw", "throws", "true", "try", "typealias", "var", "where", "while", "Any",
  ]
}

/// protoc-c's spelling, as its `c_helpers.cc` has it.
enum CNames {
  /// "buddy.testing.v1.EveryField" → "Buddy__Testing__V1__EveryField".
  static func type(_ fullName: String) -> String {
    fullName.split(separator: ".").map { SwiftNames.upperCamel(String($0)) }.joined(separator: "__")
  }

  /// "buddy.testing.v1.EveryField" → "buddy__testing__v1__every_field".
  static func function(_ fullName: String) -> String {
    fullName.split(separator: ".").map { snake(String($0)) }.joined(separator: "__")
  }

  /// A struct's member; C's and C++'s keywords get an underscore, Swift's get backticks.
  static func member(_ name: String) -> String {
    let lower = name.lowercased()
    return keywords.contains(lower) ? lower + "_" : SwiftNames.escaped(lower)
  }

  private static func snake(_ name: String) -> String {
    var result = ""
    var wasUpper = true
    for character in name {
      if character.isUppercase && !wasUpper { result += "_" }
      result += character.lowercased()
      wasUpper = character.isUppercase
    }
    return result
  }

  private static let keywords: Set<String> = [
    "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char", "class", "compl",
    "const", "const_cast", "continue", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
    "explicit", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int", "long", "mutable",
    "namespace", "new", "not", "not_eq", "operator", "or", "or_eq", "private", "protected", "public", "register",
    "reinterpret_cast", "return", "short", "signed", "sizeof", "static", "static_cast", "struct", "switch",
    "template", "this", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using",
    "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
  ]
}
