import Foundation

/// A JSON value in the order it was built: people read these artifacts, so members keep the order of their meaning.
/// Numbers are kept as their digits, so that exact decimals stay exact.
indirect enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// Must be valid JSON number text.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  static func int(_ value: Int) -> JSONValue { .number(String(value)) }

  /// JSON has no NaN and no infinity: they become null.
  static func double(_ value: Double) -> JSONValue {
    guard value.isFinite else { return .null }
    let text = "\(value)"
    return .number(text.hasSuffix(".0") ? String(text.dropLast(2)) : text)
  }

  static func optional(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }

  static func == (a: JSONValue, b: JSONValue) -> Bool { a.compact == b.compact }
  func hash(into hasher: inout Hasher) { hasher.combine(compact) }

  var compact: String {
    var out = ""
    write(to: &out, indent: nil)
    return out
  }

  /// Two spaces a level; arrays and objects without nested ones stay on their line.
  var pretty: String {
    var out = ""
    write(to: &out, indent: 0)
    return out + "\n"
  }

  private func write(to out: inout String, indent: Int?) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .number(let digits): out += digits
    case .string(let text): Self.quote(text, to: &out)
    case .array(let items):
      write(items.count, brackets: ("[", "]"), flat: !items.contains(where: \.isNested), indent: indent, to: &out) {
        items[$0].write(to: &$1, indent: $2)
      }
    case .object(let members):
      let flat = !members.contains { $0.1.isNested }
      write(members.count, brackets: ("{", "}"), flat: flat, indent: indent, to: &out) {
        Self.quote(members[$0].0, to: &$1)
        $1 += indent == nil ? ":" : ": "
        members[$0].1.write(to: &$1, indent: $2)
      }
    }
  }

  private var isNested: Bool {
    switch self {
    case .array(let items): !items.isEmpty
    case .object(let members): !members.isEmpty
    default: false
    }
  }

  private func write(
    _ count: Int, brackets: (String, String), flat: Bool, indent: Int?, to out: inout String,
    item: (Int, inout String, Int?) -> Void
  ) {
    let inner = flat ? nil : indent.map { $0 + 1 }
    out += brackets.0
    for index in 0..<count {
      if index > 0 { out += indent != nil && inner == nil ? ", " : "," }
      if let inner { out += "\n" + String(repeating: "  ", count: inner) }
      item(index, &out, indent.map { $0 + 1 })
    }
    if let inner, count > 0 { out += "\n" + String(repeating: "  ", count: inner - 1) }
    out += brackets.1
  }

  private static func quote(_ text: String, to out: inout String) {
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20 || scalar == "\u{2028}" || scalar == "\u{2029}":
        out +=
          "\\u" + String(repeating: "0", count: 4 - String(scalar.value, radix: 16).count)
          + String(scalar.value, radix: 16)
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}
