import ArgumentParser

/// `name=value`, as `--param`, `--set` and `--label` take it. The value may be empty and may contain further equal signs.
struct KeyValue: Sendable, Hashable {
  let key: String
  let value: String

  init?(argument: String) {
    guard let separator = argument.firstIndex(of: "="), separator > argument.startIndex else { return nil }
    key = String(argument[..<separator])
    value = String(argument[argument.index(after: separator)...])
  }

  /// Throws a usage error for a key that is given twice: which of the two was meant is not for us to say.
  static func dictionary(_ pairs: [KeyValue], option: String) throws -> [String: String] {
    var result: [String: String] = [:]
    for pair in pairs where result.updateValue(pair.value, forKey: pair.key) != nil {
      throw ValidationError("\(option) \(pair.key) is given twice")
    }
    return result
  }
}
