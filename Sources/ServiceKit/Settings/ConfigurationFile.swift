import Foundation
import Messages

/// A file of settings: one JSON object whose keys are the flags' names. Below a service's name stands what is only for
/// that service, and wins:
///
///     {"log-level": "debug", "execution": {"maximum-running": 8}}
///
/// Read and checked by ourselves, and handed to swift-configuration as a provider: its own JSON snapshot takes a key
/// that nobody knows without a word, the last of two equal keys, and true for 1.
struct ConfigurationFile: Sendable {
  /// In bytes.
  static let maximumSize = 1 << 20

  let path: String
  /// What it says to this service, by setting, as the texts that flags would have.
  private(set) var values: [String: String] = [:]
  /// Those of them that nobody else may read.
  private var secrets: Set<String> = []

  /// - Parameters:
  ///   - service: Whose section counts; nil for none.
  ///   - known: The service's settings.
  /// - Throws: ``SettingError``: for a file that cannot be read, is no JSON object, or that anybody may change; for a
  ///   key that no service knows; for a value of another type than its setting's.
  init(_ path: String, for service: ServiceName?, known: [any SettingDeclaration]) throws {
    self.path = path
    let file = try SettingsFile(path, atMost: Self.maximumSize)
    guard !file.isWritableByOthers else {
      throw SettingError("\(path) can be changed by every user of this machine: chmod o-w \(path)")
    }
    let json: JSONValue
    do {
      json = try JSONReader.read(file.bytes, maximumDepth: 4)
    } catch {
      throw SettingError("\(path): \(error)")
    }
    guard case .object(let members) = json else { throw SettingError("\(path): \(json.shown) is not a JSON object") }
    let own = Dictionary(known.map { ($0.name, $0) }) { first, _ in first }
    try take(members, below: nil, own, SettingNames.all.union(own.keys))
    for (key, value) in members {
      guard let section = ServiceName(rawValue: key) else { continue }
      guard case .object(let members) = value else {
        throw SettingError(source: "\(path): \(key)", found: value.shown, expected: "an object of settings")
      }
      let names = SettingNames.of(section).union(section == service ? Set(own.keys) : [])
      try take(members, below: section, section == service ? own : [:], names)
    }
    try checkSecrets(file)
  }

  /// - Parameters:
  ///   - own: The settings whose values count.
  ///   - names: All that may stand here.
  private mutating func take(
    _ members: [(key: String, value: JSONValue)], below section: ServiceName?, _ own: [String: any SettingDeclaration],
    _ names: Set<String>
  ) throws {
    for (key, value) in members where section != nil || ServiceName(rawValue: key) == nil {
      let place = "\(path): " + (section.map { "\($0.rawValue)." } ?? "") + key
      guard names.contains(key), !SettingNames.flagsOnly.contains(key) else {
        let hint = NearestNames.hint(key, names.subtracting(SettingNames.flagsOnly))
        throw SettingError("\(place) is not a setting\(hint)")
      }
      guard let setting = own[key] else { continue }
      guard let text = setting.kind.text(of: value) else {
        let found = setting.mayHoldSecrets ? "…" : value.shown
        throw SettingError(source: place, found: found, expected: setting.kind.expectation(setting.expected))
      }
      if try setting.isSecret || setting.value(of: text, from: place).holdsSecret { secrets.insert(key) }
      values[key] = text
    }
  }

  private func checkSecrets(_ file: SettingsFile) throws {
    guard file.isReadableByOthers, let secret = secrets.min() else { return }
    throw SettingError(
      "\(path) holds \(secret), and every user of this machine can read it: chmod o-r \(path), or name a file of its "
        + "own with \(secret)-file")
  }
}

/// Checks what every service would refuse about a file of settings. Throws ``SettingError``.
public func checkConfigurationFile(_ path: String) throws {
  _ = try ConfigurationFile(path, for: nil, known: [])
}

/// What a JSON value has to be for a setting.
public enum SettingKind: Sendable {
  case text, number, boolean, list

  /// What a value has to be, for error messages.
  func expectation(_ expected: String) -> String {
    switch self {
    case .text: "\(expected), as a JSON string"
    case .number: "\(expected), as a JSON number"
    case .boolean: "\(expected), without quotes"
    case .list: "a JSON list of strings without commas"
    }
  }

  /// The text that a flag would have for it; nil for another type.
  func text(of value: JSONValue) -> String? {
    switch (self, value) {
    case (.text, .string(let text)), (.number, .number(let text)): return text
    case (.boolean, .bool(let value)): return String(value)
    case (.list, .array(let elements)):
      let texts = elements.compactMap { if case .string(let text) = $0, !text.contains(",") { text } else { nil } }
      return texts.count == elements.count ? texts.joined(separator: ",") : nil
    default: return nil
    }
  }
}
