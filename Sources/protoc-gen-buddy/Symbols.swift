/// Every type of the schema by its full name, with its Swift name; made once, and where the schema is checked.
struct Symbols {
  private(set) var messages: [String: ProtoMessage] = [:]
  private(set) var enums: [String: ProtoEnum] = [:]
  private var swiftNames: [String: String] = [:]
  private var origins: [String: String] = [:]

  /// Throws GeneratorError where two types would get one Swift name, or a file uses what has no form here.
  init(_ schema: Schema) throws {
    for file in schema.files {
      for message in file.messages {
        let name = SwiftNames.topLevel(message.name, package: file.package)
        try claim(name, message.fullName, file.path)
        try add(message, swiftName: name, file: file.path)
      }
      for value in file.enums {
        let name = SwiftNames.topLevel(value.name, package: file.package)
        try claim(name, value.fullName, file.path)
        try add(value, swiftName: name, file: file.path)
      }
      try claimServices(of: file)
    }
    for file in schema.generated { try check(file) }
  }

  func swiftName(_ fullName: String) -> String { swiftNames[fullName] ?? lastComponent(fullName) }

  /// The case that stands for 0, which every proto3 enum has.
  func defaultCase(_ enumeration: String) -> String {
    guard let value = enums[enumeration], let zero = value.values.first(where: { $0.number == 0 }) else {
      return ".unrecognized(0)"
    }
    return "." + SwiftNames.enumCase(zero.name, of: value)
  }

  static func serviceName(_ service: ProtoService, package: String) -> String {
    SwiftNames.topLevel(service.name, package: package)
  }

  func mapEntry(_ field: ProtoField) -> ProtoMessage? {
    guard field.isRepeated, case .message(let name) = field.kind, let entry = messages[name], entry.isMapEntry
    else { return nil }
    return entry
  }

  private mutating func add(_ message: ProtoMessage, swiftName: String, file: String) throws {
    messages[message.fullName] = message
    swiftNames[message.fullName] = swiftName
    for nested in message.messages { try add(nested, swiftName: "\(swiftName).\(nested.name)", file: file) }
    for nested in message.enums { try add(nested, swiftName: "\(swiftName).\(nested.name)", file: file) }
  }

  private mutating func add(_ value: ProtoEnum, swiftName: String, file: String) throws {
    enums[value.fullName] = value
    swiftNames[value.fullName] = swiftName
  }

  private mutating func claim(_ name: String, _ fullName: String, _ file: String) throws {
    let origin = "\(fullName) (\(file))"
    if let other = origins.updateValue(origin, forKey: name) {
      throw GeneratorError("\(other) and \(origin) would both be called \(name) in Swift; rename one of them")
    }
  }

  private mutating func claimServices(of file: ProtoFile) throws {
    for service in file.services {
      for suffix in ["Handler", "PartialHandler", "Methods", "Client"] {
        try claim(Self.serviceName(service, package: file.package) + suffix, service.fullName, file.path)
      }
    }
  }
}

// MARK: - Checks

extension Symbols {
  private func check(_ file: ProtoFile) throws {
    guard file.syntax == "proto3" else {
      throw GeneratorError("\(file.path): only proto3 is supported, this file says \"\(file.syntax)\"")
    }
    for message in file.messages { try check(message, in: file.path) }
    for value in file.enums { try check(value, in: file.path) }
  }

  private func check(_ message: ProtoMessage, in file: String) throws {
    let context = "\(file): message \(message.fullName)"
    guard message.fields.count <= 128 else { throw GeneratorError("\(context) has more than 128 fields") }
    for field in message.fields { try check(field, "\(context), field \(field.name)") }
    try checkMembers(message, context)
    if let cycle = cycle(from: message) {
      throw GeneratorError("\(context) contains itself (\(cycle)); recursive messages are not supported")
    }
    for nested in message.messages where !nested.isMapEntry { try check(nested, in: file) }
    for nested in message.enums { try check(nested, in: file) }
  }

  private func check(_ field: ProtoField, _ context: String) throws {
    if case .unsupported(let what) = field.kind { throw GeneratorError("\(context): \(what) is not supported") }
    if field.isOptionalKeyword {
      throw GeneratorError("\(context): \"optional\" is not supported; use a message, a wrapper or a oneof")
    }
  }

  /// Members and nested types of one struct must have different names, and must not hide a top-level type.
  private func checkMembers(_ message: ProtoMessage, _ context: String) throws {
    var seen = SwiftNames.reservedMembers
    let members = message.fields.filter { $0.oneof == nil }.map(\.name) + message.oneofs.map(\.name)
    for name in members where !seen.insert(SwiftNames.lowerCamel(name)).inserted {
      throw GeneratorError("\(context): the name \(SwiftNames.lowerCamel(name)) is taken; rename \(name)")
    }
    let types =
      message.oneofs.map { SwiftNames.upperCamel($0.name) } + message.enums.map(\.name)
      + message.messages.filter { !$0.isMapEntry }.map(\.name)
    var seenTypes: Set<String> = ["C"]
    for name in types {
      let isTaken = origins[name] != nil || SwiftNames.standardLibrary.contains(name)
      if isTaken || !seenTypes.insert(name).inserted {
        throw GeneratorError("\(context): the name \(name) for a nested type is taken; rename it")
      }
    }
  }

  private func check(_ value: ProtoEnum, in file: String) throws {
    var seen = SwiftNames.reservedMembers
    for proto in value.values where !seen.insert(SwiftNames.enumCase(proto.name, of: value)).inserted {
      throw GeneratorError("\(file): enum \(value.fullName): \(proto.name) has no Swift name of its own; rename it")
    }
  }

  private func cycle(from start: ProtoMessage) -> String? {
    var visited: Set<String> = []
    func search(_ message: ProtoMessage, _ path: [String]) -> String? {
      for field in message.fields {
        guard case .message(let name) = field.kind, let next = messages[name] else { continue }
        if name == start.fullName { return (path + [field.name]).joined(separator: ".") }
        if visited.insert(name).inserted, let found = search(next, path + [field.name]) { return found }
      }
      return nil
    }
    return search(start, [])
  }
}
