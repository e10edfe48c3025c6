import Foundation
import Messages

/// The members of one JSON object, each taken once; what is left in the end is unknown.
struct CommandFields {
  /// Whose fields these are, for error messages.
  var subject: String
  private var members: [String: Messages.JSONValue]
  private var known: [String] = []

  init(_ json: Messages.JSONValue, of subject: String) throws {
    guard case .object(let pairs) = json else {
      throw CommandToolError("\(subject): it is \(json.shown), not an object")
    }
    self.subject = subject
    // The reader refuses doubled keys.
    members = Dictionary(uniqueKeysWithValues: pairs.map { ($0.key, $0.value) })
  }

  func wrong(_ field: String, _ why: String) -> CommandToolError { CommandToolError("\(subject): \(field): \(why)") }

  /// Throws where a field is left that nobody has taken.
  func end() throws {
    guard let name = members.keys.sorted().first else { return }
    let near = known.min { Self.distance(name, $0) < Self.distance(name, $1) }
    let hint = near.map { Self.distance(name, $0) <= 3 ? "; did you mean \($0)?" : "" } ?? ""
    throw CommandToolError("\(subject): there is no field \(name)\(hint)")
  }

  private mutating func take(_ field: String) -> Messages.JSONValue? {
    known.append(field)
    return members.removeValue(forKey: field)
  }

  private mutating func required(_ field: String) throws -> Messages.JSONValue {
    guard let value = take(field) else { throw CommandToolError("\(subject): \(field) is missing") }
    return value
  }

  // MARK: - Kinds of fields

  mutating func list(_ field: String) throws -> [Messages.JSONValue] {
    let value = try required(field)
    guard case .array(let list) = value else { throw wrong(field, "\(value.shown) is not a list") }
    return list
  }

  /// - Parameter length: in characters.
  mutating func text(_ field: String, _ length: ClosedRange<Int>) throws -> String {
    let value = try required(field)
    guard case .string(let text) = value, length.contains(text.count) else {
      throw wrong(field, "\(value.shown) is not a text of \(length.lowerBound) to \(length.upperBound) characters")
    }
    return text
  }

  mutating func optionalText(_ field: String) throws -> String? {
    guard let value = take(field) else { return nil }
    guard case .string(let text) = value else { throw wrong(field, "\(value.shown) is not a text") }
    return text
  }

  mutating func flag(_ field: String) throws -> Bool {
    guard let value = try optionalFlag(field) else { throw CommandToolError("\(subject): \(field) is missing") }
    return value
  }

  mutating func optionalFlag(_ field: String) throws -> Bool? {
    guard let value = take(field) else { return nil }
    guard case .bool(let flag) = value else { throw wrong(field, "\(value.shown) is neither true nor false") }
    return flag
  }

  /// A whole number.
  mutating func number(_ field: String, _ range: ClosedRange<Int64>, default standard: Int64) throws -> Int64 {
    guard let value = take(field) else { return standard }
    guard case .number(let digits) = value, let number = Int64(digits), range.contains(number) else {
      throw wrong(field, "\(value.shown) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A list of texts without an empty one.
  mutating func texts(_ field: String, _ count: ClosedRange<Int>, required isRequired: Bool) throws -> [String] {
    guard let value = isRequired ? try required(field) : take(field) else { return [] }
    guard case .array(let list) = value, count.contains(list.count) else {
      throw wrong(field, "it is not a list of \(count.lowerBound) to \(count.upperBound) texts")
    }
    return try list.map { item in
      guard case .string(let text) = item, !text.isEmpty else { throw wrong(field, "\(item.shown) is not a text") }
      return text
    }
  }

  // MARK: - The fields of a tool

  mutating func intents() throws -> [String: Double] {
    let value = try required("intents")
    guard case .object(let pairs) = value, !pairs.isEmpty else {
      throw wrong("intents", "it is not an object of intents with their confidence")
    }
    return try pairs.reduce(into: [:]) { intents, pair in
      guard case .number(let digits) = pair.value, let share = Double(digits), (0...1).contains(share),
        (1...64).contains(pair.key.count), pair.key != IntentClassifier.unknown
      else { throw wrong("intents", "\"\(pair.key)\" has no confidence from 0 to 1, or is no name of an intent") }
      intents[pair.key] = share
    }
  }

  mutating func examples(_ field: String, intents: [String: Double]) throws -> [String: [String]] {
    guard let value = take(field) else { return [:] }
    guard case .object(let pairs) = value else { throw wrong(field, "it is not an object of intents with a list each") }
    return try pairs.reduce(into: [:]) { examples, pair in
      guard intents[pair.key] != nil else { throw wrong(field, "\"\(pair.key)\" is none of the tool's intents") }
      guard case .array(let list) = pair.value, list.count <= CommandToolFile.maximumExamples else {
        throw wrong(field, "\"\(pair.key)\" has no list of at most \(CommandToolFile.maximumExamples) objectives")
      }
      examples[pair.key] = try list.map { item in
        guard case .string(let text) = item else { throw wrong(field, "\(item.shown) is not an objective") }
        return text
      }
    }
  }

  mutating func price(_ field: String) throws -> ToolDeclaration.Price {
    guard let value = take(field) else { return .init() }
    var price = try CommandFields(value, of: "\(subject): \(field)")
    let range = Int64(0)...1_000_000_000_000
    let result = ToolDeclaration.Price(
      perCallMicros: try price.number("perCallMicros", range, default: 0),
      perMebibyteMicros: try price.number("perMebibyteMicros", range, default: 0))
    try price.end()
    return result
  }

  /// JSON Schema, as text; any object where the field is absent.
  mutating func schema(_ field: String) throws -> String {
    guard let value = take(field) else { return "{\"type\": \"object\"}" }
    guard case .object = value else { throw wrong(field, "\(value.shown) is not a JSON Schema object") }
    return JSONValue(value).compact
  }

  /// How many characters differ, one after the other: enough to find a misspelling.
  private static func distance(_ left: String, _ right: String) -> Int {
    let (left, right) = (left.lowercased(), right.lowercased())
    let shared = left.commonPrefix(with: right).count
    let rest = zip(left.reversed(), right.reversed()).prefix { $0 == $1 }.count
    return max(0, max(left.count, right.count) - min(shared + rest, min(left.count, right.count)))
  }
}

extension JSONValue {
  /// A value as it was read, to be written again.
  init(_ read: Messages.JSONValue) {
    self =
      switch read {
      case .null: .null
      case .bool(let value): .bool(value)
      case .number(let digits): .number(digits)
      case .string(let text): .string(text)
      case .array(let items): .array(items.map { JSONValue($0) })
      case .object(let members): .object(members.map { ($0.key, JSONValue($0.value)) })
      }
  }
}
