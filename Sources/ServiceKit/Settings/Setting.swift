/// Something that can be set: by the flag `--name`, else by the variable `BUDDY_NAME`, else by `name` in a file.
public struct Setting<Value: SettingValue>: Sendable {
  /// In lower case with dashes: `shutdown-grace`.
  public let name: String
  public let defaultValue: Value
  public let help: String
  /// Never shown. `--name-file` names a file to read it from.
  public let isSecret: Bool
  private let isAccepted: (@Sendable (Value) -> Bool)?
  private let acceptedText: String
  /// A variable that is empty does not count as not set.
  public private(set) var refusesEmpty = false

  /// - Parameter help: What it means, in a few words, for `--help`.
  public init(_ name: String, default defaultValue: Value, help: String, isSecret: Bool = false) {
    self.init(name, defaultValue, help, isSecret: isSecret, expected: Value.expected, isAccepted: nil)
  }

  /// A text that, unless given, is the default, which may be none. Given empty, by a variable too, it is refused:
  /// somebody meant to say something, and going on as if nothing were said would not be safe.
  init(nonEmpty name: String, default defaultValue: String = "", expected: String, help: String)
  where Value == String {
    self.init(name, defaultValue, help, isSecret: false, expected: expected) { !$0.isEmpty }
    refusesEmpty = true
  }

  /// - Parameter range: What is accepted.
  public init(_ name: String, default defaultValue: Value, help: String, in range: ClosedRange<Value>)
  where Value: Comparable {
    let expected = "\(Value.expected) from \(range.lowerBound.settingText) to \(range.upperBound.settingText)"
    self.init(name, defaultValue, help, isSecret: false, expected: expected) { range.contains($0) }
  }

  private init(
    _ name: String, _ defaultValue: Value, _ help: String, isSecret: Bool, expected: String,
    isAccepted: (@Sendable (Value) -> Bool)?
  ) {
    self.name = name
    self.defaultValue = defaultValue
    self.help = help
    self.isSecret = isSecret
    self.isAccepted = isAccepted
    acceptedText = expected
  }
}

/// A setting of any type, for the list from which help and checks come.
public protocol SettingDeclaration: Sendable {
  var name: String { get }
  var help: String { get }
  var isSecret: Bool { get }
  /// It is a secret, or may hold one, as a URL a password: it can come from a file of its own, and is nowhere shown whole.
  var mayHoldSecrets: Bool { get }
  /// A variable that is empty is refused, and does not count as not set.
  var refusesEmpty: Bool { get }
  /// The flag stands alone and means true.
  var isSwitch: Bool { get }
  var placeholder: String { get }
  var defaultText: String { get }
  /// What a value has to look like, for error messages.
  var expected: String { get }
  /// What stands for a value in a file.
  var kind: SettingKind { get }
  /// The value of a text. Throws ``SettingError`` for a bad one.
  func value(of text: String, from source: String) throws -> any SettingValue
}

extension Setting: SettingDeclaration {
  public var mayHoldSecrets: Bool { isSecret || Value.mayHoldSecrets }
  public var isSwitch: Bool { Value.self == Bool.self }
  public var placeholder: String { Value.placeholder }
  public var defaultText: String { defaultValue.settingText }
  public var expected: String { acceptedText }
  public var kind: SettingKind { Value.kind }

  public func value(of text: String, from source: String) throws -> any SettingValue {
    guard let value = Value(settingText: text), isAccepted?(value) ?? true else {
      throw SettingError(source: source, value: mayHoldSecrets ? "…" : text, expected: acceptedText)
    }
    return value
  }
}

extension SettingDeclaration {
  public var flag: String { "--\(name)" }
  public var variable: String { "BUDDY_" + name.uppercased().replacing("-", with: "_") }
}

/// A command line or a variable that cannot be taken. The process ends with ``ExitCode/usage``.
public struct SettingError: Error, Sendable, Hashable, CustomStringConvertible {
  public let description: String

  /// - Parameters:
  ///   - name: The setting's, without dashes.
  ///   - expected: What the value has to be.
  public init(_ name: String, value: String, expected: String) {
    self.init(source: "--\(name)", value: value, expected: expected)
  }

  init(source: String, value: String, expected: String) {
    self.init(source: source, found: "\"\(value)\"", expected: expected)
  }

  init(source: String, found: String, expected: String) {
    description = "\(source): \(found) is not \(expected)"
  }

  init(_ description: String) {
    self.description = description
  }
}
