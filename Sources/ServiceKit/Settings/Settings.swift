import Configuration

/// The values of a process's settings: flags before `BUDDY_*` variables before a file before defaults.
public struct Settings: Sendable {
  /// Where a value comes from.
  enum Source: Sendable, Hashable, CustomStringConvertible {
    case flag
    case variable
    /// The file of settings.
    case file
    /// A file that holds this secret alone.
    case secret(path: String)
    case standard

    var description: String {
      switch self {
      case .flag: "flag"
      case .variable: "variable"
      case .file: "file"
      case .secret(let path): "file \(path)"
      case .standard: "default"
      }
    }
  }

  private let declarations: [any SettingDeclaration]
  private var values: [String: any SettingValue] = [:]
  private var sources: [String: Source] = [:]
  /// `--help` was given.
  let asksForHelp: Bool
  /// `--print-config` was given.
  let asksForConfiguration: Bool

  /// - Parameters:
  ///   - declarations: What can be set. The file is read where `CommonSettings.config` is among them.
  ///   - arguments: Without the program's name.
  ///   - environment: A variable that is empty counts as not set, but for settings that refuse that.
  ///   - service: Whose section of the file counts.
  /// - Throws: ``SettingError`` for the first thing that cannot be taken.
  public init(
    _ declarations: [any SettingDeclaration], arguments: some Sequence<String>, environment: [String: String],
    service: ServiceName? = nil
  ) throws {
    let declarations = declarations.withSecretFiles
    self.declarations = declarations
    let flags = try CommandLineText(arguments, known: declarations)
    asksForHelp = flags.asksForHelp
    asksForConfiguration = flags.asksForConfiguration
    let strict = Set(declarations.filter(\.refusesEmpty).map(\.variable))
    let environment = environment.filter { !$0.value.isEmpty || strict.contains($0.key) }
    let path = flags.values[CommonSettings.config.name] ?? environment[CommonSettings.config.variable] ?? ""
    let reads = declarations.contains { $0.name == CommonSettings.config.name } && !path.isEmpty && !asksForHelp
    let file = reads ? try ConfigurationFile(path, for: service, known: declarations) : nil
    let reader = ConfigReader(providers: [
      Self.provider("flags", flags.values),
      EnvironmentVariablesProvider(environmentVariables: environment).prefixKeys(with: "buddy"),
      Self.provider("file", file?.values ?? [:]),
    ])
    for setting in declarations {
      let found = reader.string(forKey: ConfigKey([setting.name]), isSecret: setting.mayHoldSecrets)
      guard let text = found else { continue }
      let source: Source =
        flags.values[setting.name] != nil ? .flag : environment[setting.variable] != nil ? .variable : .file
      values[setting.name] = try setting.value(of: text, from: Self.place(of: setting, source, file))
      sources[setting.name] = source
    }
    if !asksForHelp { try readSecrets() }
  }

  private static func provider(_ name: String, _ texts: [String: String]) -> InMemoryProvider {
    let values = texts.map { (AbsoluteConfigKey([$0]), ConfigValue(.string($1), isSecret: false)) }
    return InMemoryProvider(name: name, values: Dictionary(uniqueKeysWithValues: values))
  }

  /// As errors name it.
  private static func place(
    of setting: any SettingDeclaration, _ source: Source, _ file: ConfigurationFile?
  ) -> String {
    switch source {
    case .flag: setting.flag
    case .variable: setting.variable
    default: "\(file?.path ?? ""): \(setting.name)"
    }
  }

  /// Secrets whose files are named.
  private mutating func readSecrets() throws {
    for setting in declarations where setting.mayHoldSecrets {
      let name = setting.name + SettingDeclarationNames.fileSuffix
      guard let path = values[name] as? String, !path.isEmpty else { continue }
      guard values[setting.name] == nil else {
        throw SettingError("\(setting.flag) and --\(name) are both given; one of them must go")
      }
      values[setting.name] = try setting.value(of: SecretFile.read(path), from: path)
      sources[setting.name] = .secret(path: path)
    }
  }

  /// The value of a setting that was declared to `runService`.
  public subscript<Value>(_ setting: Setting<Value>) -> Value {
    assert(declarations.contains { $0.name == setting.name }, "the setting \(setting.name) is not declared")
    return values[setting.name] as? Value ?? setting.defaultValue
  }

  /// Every setting with its value in effect and where that comes from, in the order of declaration; a secret only as
  /// whether it is set.
  public var effective: [(name: String, value: String, source: String)] {
    declarations.map { setting in
      let source = "\(sources[setting.name] ?? .standard)"
      guard let value = values[setting.name] else {
        return (setting.name, setting.isSecret ? "" : setting.defaultText, source)
      }
      return (setting.name, setting.isSecret ? "(set)" : value.settingText, source)
    }
  }

  /// What `--print-config` prints.
  var listing: String {
    effective.map { "\($0.name) = \(LogText.oneLine($0.value))  (\(LogText.oneLine($0.source)))\n" }.joined()
  }

  /// What `--help` prints.
  static func help(_ program: String, _ declarations: [any SettingDeclaration]) -> String {
    var lines = ["usage: \(program) [--flag value]…", ""]
    for setting in declarations.withSecretFiles {
      lines.append("  " + [setting.flag, setting.placeholder].filter { !$0.isEmpty }.joined(separator: " "))
      lines.append("      \(setting.help)")
      let standard = setting.isSecret || setting.defaultText.isEmpty ? "none" : setting.defaultText
      lines.append("      default: \(standard); variable: \(setting.variable)")
    }
    lines += ["  --print-config", "      print every setting with its value and where that comes from, and exit"]
    lines += ["  --help", "      print this and exit"]
    return lines.joined(separator: "\n") + "\n"
  }
}

enum SettingDeclarationNames {
  /// A secret's file is set by the secret's name with this behind it.
  static let fileSuffix = "-file"
}

extension [any SettingDeclaration] {
  /// With a setting beside each secret that names a file to read it from.
  var withSecretFiles: [any SettingDeclaration] {
    flatMap { setting -> [any SettingDeclaration] in
      guard setting.mayHoldSecrets else { return [setting] }
      let file = Setting<String>(
        setting.name + SettingDeclarationNames.fileSuffix, default: "",
        help: "a file to read \(setting.flag) from; a line end at its end does not count")
      return [setting, file]
    }
  }
}
