import ServiceKit

/// How many calls of a tool one process runs at a time, for the tools that have a limit of their own:
/// `web_extract=4,data_analyze=2`.
struct ToolLimits: SettingValue, Hashable {
  static let expected = "a list like web_extract=4,data_analyze=2 with each tool once and whole numbers from 1"
  static let placeholder = "TOOL=N,…"
  static let kind = SettingKind.list

  var byTool: [String: Int] = [:]

  init() {}

  init(_ byTool: [String: Int]) { self.byTool = byTool }

  init?(settingText text: String) {
    guard let entries = [String](settingText: text) else { return nil }
    for entry in entries {
      let parts = entry.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, let limit = Int(parts[1]), limit >= 1,
        byTool.updateValue(limit, forKey: String(parts[0])) == nil
      else { return nil }
    }
  }

  var settingText: String {
    byTool.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
  }

  /// Throws `SettingError` for a tool that there is not: a misspelt name would limit nothing.
  func check(_ tools: [String]) throws {
    guard let unknown = byTool.keys.filter({ !tools.contains($0) }).min() else { return }
    throw SettingError("tool-limit", value: unknown, expected: "one of the tools " + tools.joined(separator: ", "))
  }
}
