import Configuration

/// The values of a process's settings: flags before `BUDDY_*` variables before defaults.
public struct Settings: Sendable {
  private let declarations: [any SettingDeclaration]
  private let values: [String: any SettingValue]
  /// `--help` was given.
  let asksForHelp: Bool

  /// - Parameters:
  ///   - arguments: Without the program's name.
  ///   - environment: A variable that is empty counts as not set.
  /// - Throws: ``SettingError`` for the first thing that cannot be taken.
  public init(
    _ declarations: [any SettingDeclaration], arguments: some Sequence<String>, environment: [String: String]
  ) throws {
    let flags = try CommandLineText(arguments, known: declarations)
    let given = flags.values.map { (AbsoluteConfigKey([$0]), ConfigValue(.string($1), isSecret: false)) }
    let reader = ConfigReader(providers: [
      InMemoryProvider(name: "flags", values: Dictionary(uniqueKeysWithValues: given)),
      EnvironmentVariablesProvider(environmentVariables: environment.filter { !$0.value.isEmpty })
        .prefixKeys(with: "buddy"),
    ])
    var values: [String: any SettingValue] = [:]
    for setting in declarations {
      guard let text = reader.string(forKey: ConfigKey([setting.name]), isSecret: setting.isSecret) else { continue }
      let source = flags.values[setting.name] == nil ? setting.variable : setting.flag
      values[setting.name] = try setting.value(of: text, from: source)
    }
    self.declarations = declarations
    self.values = values
    asksForHelp = flags.asksForHelp
  }

  /// The value of a setting that was declared to `runService`.
  public subscript<Value>(_ setting: Setting<Value>) -> Value {
    assert(declarations.contains { $0.name == setting.name }, "the setting \(setting.name) is not declared")
    return values[setting.name] as? Value ?? setting.defaultValue
  }

  /// Every setting with its value in effect, in the order of declaration; a secret only as whether it is set.
  public var effective: [(name: String, value: String)] {
    declarations.map { setting in
      guard let value = values[setting.name] else { return (setting.name, setting.isSecret ? "" : setting.defaultText) }
      return (setting.name, setting.isSecret ? "(set)" : value.settingText)
    }
  }

  /// What `--help` prints.
  static func help(_ program: String, _ declarations: [any SettingDeclaration]) -> String {
    var lines = ["usage: \(program) [--flag value]…", ""]
    for setting in declarations {
      lines.append("  " + [setting.flag, setting.placeholder].filter { !$0.isEmpty }.joined(separator: " "))
      lines.append("      \(setting.help)")
      let standard = setting.isSecret || setting.defaultText.isEmpty ? "none" : setting.defaultText
      lines.append("      default: \(standard); variable: \(setting.variable)")
    }
    lines += ["  --help", "      print this and exit"]
    return lines.joined(separator: "\n") + "\n"
  }
}
