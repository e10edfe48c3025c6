import Foundation

/// What a setting can be: made from the text of a flag or a variable.
public protocol SettingValue: Sendable {
  /// What a text has to look like, for error messages: "a whole number".
  static var expected: String { get }
  /// What stands for the value in the help: "N".
  static var placeholder: String { get }
  /// Whether a text may hold a password, so that not even a refused one is shown.
  static var mayHoldSecrets: Bool { get }
  /// What stands for it in a JSON file; a string unless declared otherwise.
  static var kind: SettingKind { get }

  /// Nil where the text is none.
  init?(settingText text: String)
  /// The value as one would write it.
  var settingText: String { get }
  /// Whether this value does hold one; of a type that may, every value unless declared otherwise.
  var holdsSecret: Bool { get }
}

extension SettingValue {
  public static var mayHoldSecrets: Bool { false }
  public static var kind: SettingKind { .text }
  public var holdsSecret: Bool { Self.mayHoldSecrets }
}

extension String: SettingValue {
  public static var expected: String { "a text" }
  public static var placeholder: String { "TEXT" }
  public init?(settingText text: String) { self = text }
  public var settingText: String { self }
}

extension Int: SettingValue {
  public static var expected: String { "a whole number" }
  public static var kind: SettingKind { .number }
  public static var placeholder: String { "N" }
  public init?(settingText text: String) { self.init(text) }
  public var settingText: String { String(self) }
}

extension Double: SettingValue {
  public static var expected: String { "a number" }
  public static var placeholder: String { "N" }
  public static var kind: SettingKind { .number }
  public init?(settingText text: String) {
    self.init(text)
    if !isFinite { return nil }
  }
  public var settingText: String { self == rounded() && abs(self) < 1e15 ? String(Int(self)) : description }
}

extension Bool: SettingValue {
  public static var expected: String { "true or false" }
  public static var kind: SettingKind { .boolean }
  public static var placeholder: String { "" }
  public init?(settingText text: String) { self.init(text) }
  public var settingText: String { String(self) }
}

/// A list with commas between its items.
extension [String]: SettingValue {
  public static var expected: String { "a list, with commas" }
  public static var kind: SettingKind { .list }
  public static var placeholder: String { "A,B…" }
  public init?(settingText text: String) {
    self = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
  }
  public var settingText: String { joined(separator: ",") }
}

extension Duration: SettingValue {
  public static var expected: String { "a duration like 500ms, 30s, 5m or 2h" }
  public static var placeholder: String { "TIME" }

  private static let units: [(name: String, milliseconds: Int64)] = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
  ]

  public init?(settingText text: String) {
    let number = text.prefix { $0.isASCII && $0.isNumber }
    guard let unit = Self.units.first(where: { $0.name == text.dropFirst(number.count) }),
      let count = Int64(number)
    else { return nil }
    let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
    if overflow { return nil }
    self = .milliseconds(milliseconds)
  }

  public var settingText: String {
    let (seconds, attoseconds) = components
    let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
    let unit = Self.units.last { milliseconds % $0.milliseconds == 0 && milliseconds != 0 } ?? ("s", 1000)
    return "\(milliseconds / unit.milliseconds)\(unit.name)"
  }
}

/// An enum of texts that declares the conformance takes its cases' raw values.
extension SettingValue where Self: RawRepresentable & CaseIterable, RawValue == String {
  public static var expected: String { "one of " + allCases.map(\.rawValue).joined(separator: ", ") }
  public static var placeholder: String { allCases.map(\.rawValue).joined(separator: "|") }
  public init?(settingText text: String) { self.init(rawValue: text) }
  public var settingText: String { rawValue }
}
