/// The flags of a command line: `--name value`, `--name=value`, and `--name` for a switch.
///
/// Strict where swift-configuration's own reader is lenient: an unknown flag, a stray word, a repeated flag or a
/// missing value is an error, and a comma in a value is only a comma.
struct CommandLineText {
  private(set) var values: [String: String] = [:]
  private(set) var asksForHelp = false
  private(set) var asksForConfiguration = false

  init(_ arguments: some Sequence<String>, known: [any SettingDeclaration]) throws {
    let byFlag = Dictionary(known.map { ($0.flag, $0) }) { first, _ in first }
    var rest = Array(arguments)[...]
    while let argument = rest.popFirst() {
      if argument == "--help" || argument == "-h" {
        asksForHelp = true
        continue
      }
      if argument == "--print-config" {
        asksForConfiguration = true
        continue
      }
      guard argument.hasPrefix("-") else {
        throw SettingError("\"\(argument)\" is not expected here; flags are written --name value")
      }
      let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard let setting = byFlag[parts[0]] else { throw Self.unknown(parts[0], known) }
      let value = try parts.count == 2 ? parts[1] : Self.value(of: setting, &rest)
      guard values.updateValue(value, forKey: setting.name) == nil else {
        throw SettingError("\(setting.flag) is given twice")
      }
    }
  }

  private static func value(of setting: any SettingDeclaration, _ rest: inout ArraySlice<String>) throws -> String {
    if setting.isSwitch { return "true" }
    guard let next = rest.first, !next.hasPrefix("--") else {
      throw SettingError("\(setting.flag) needs a value: \(setting.flag) \(setting.placeholder)")
    }
    return rest.removeFirst()
  }

  private static func unknown(_ flag: String, _ known: [any SettingDeclaration]) -> SettingError {
    let names = known.map(\.flag).sorted().joined(separator: ", ")
    return SettingError("\(flag) is unknown; the flags are: \(names), --print-config, --help")
  }
}
