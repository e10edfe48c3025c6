/// Finds the column that words of an objective mean.
struct ColumnMatcher: Sendable {
  /// What the column is wanted for; decides between several that fit in part.
  enum Role: Sendable { case measure, group, any }

  struct Match: Sendable { let column: DataColumn; let length: Int }

  let columns: [DataColumn]
  private let words: [[String]]

  init(columns: [DataColumn]) {
    self.columns = columns
    words = columns.map { DataWords.words($0.name) }
  }

  /// The longest match that starts at `index`. A full name wins over a part of one. Throws `AMBIGUOUS_COLUMN`.
  /// `partial` also takes columns of whose name the words are only a part (`temperature` for `temperature_c`).
  func match(_ tokens: [DataWord], at index: Int, role: Role, partial: Bool) throws -> Match? {
    guard index < tokens.count, tokens[index].kind != .symbol else { return nil }
    let available = tokens[index...].prefix(6).prefix { $0.kind != .symbol || "-_/&".contains($0.text) }
    for length in stride(from: available.count, through: 1, by: -1) {
      let phrase = available.prefix(length).flatMap { DataWords.words($0.text) }
      if let column = try full(phrase, written: available.prefix(length).map(\.lower).joined(separator: " ")) {
        return Match(column: column, length: length)
      }
    }
    guard partial else { return nil }
    for length in stride(from: min(available.count, 4), through: 1, by: -1) {
      let phrase = available.prefix(length).flatMap { DataWords.words($0.text) }
      if phrase.isEmpty || (length == 1 && Self.tooCommon.contains(phrase[0])) { continue }
      let found = columns.indices.filter { Self.contains(words[$0], phrase) }.map { columns[$0] }
      if found.isEmpty { continue }
      return Match(column: try choose(found, phrase: phrase.joined(separator: " "), role: role), length: length)
    }
    return nil
  }

  /// One name, as in a parameter. Throws `UNKNOWN_COLUMN`, `AMBIGUOUS_COLUMN`.
  func column(named name: String, role: Role = .any) throws -> DataColumn {
    if let exact = columns.first(where: { $0.name == name }) { return exact }
    let tokens = [DataWord(kind: .quoted, text: name, lower: name.lowercased(), stem: "", number: nil, range: 0..<0)]
    if let match = try match(tokens, at: 0, role: role, partial: true) { return match.column }
    throw unknown(name)
  }

  func unknown(_ name: String, also: String = "") -> ToolError {
    let suggestion = suggestion(for: name)
    var message = "There is no column like '\(name.shortened(to: 60))'\(also); columns: \(list())."
    var details = ["column": name, "columns": columns.map(\.name).joined(separator: ", ")]
    if let suggestion {
      message += " Did you mean '\(suggestion)'?"
      details["suggestion"] = suggestion
    }
    return ToolError("UNKNOWN_COLUMN", message, details: details)
  }

  func list() -> String {
    let shown = columns.prefix(30).map(\.name).joined(separator: ", ")
    return columns.count > 30 ? shown + ", … (\(columns.count) in all)" : shown
  }

  /// The closest column name, also by one of its words.
  func suggestion(for name: String) -> String? {
    if let best = closest(to: name, in: columns.map(\.name)) { return best }
    for word in DataWords.words(name) where word.count > 3 {
      let near = columns.indices.filter { words[$0].contains { editDistance($0, word) <= max(1, word.count / 4) } }
      if near.count == 1 { return columns[near[0]].name }
    }
    return nil
  }

  /// Names that differ only in marks or endings ("unit price", "unit_prices") are told apart by their spelling.
  private func full(_ phrase: [String], written: String) throws -> DataColumn? {
    let joined = phrase.joined()
    let found = columns.indices.filter { words[$0] == phrase || (!joined.isEmpty && words[$0].joined() == joined) }
      .map { columns[$0] }
    guard found.count > 1 else { return found.first }
    if let exact = found.first(where: { $0.name.lowercased() == written }) { return exact }
    return try choose(found, phrase: written, role: .any)
  }

  private static let tooCommon: Set<String> = [
    "a", "the", "of", "in", "by", "and", "or", "is", "to", "id", "no", "for", "on", "at",
  ]

  private static func contains(_ words: [String], _ phrase: [String]) -> Bool {
    guard phrase.count <= words.count else { return false }
    return (0...(words.count - phrase.count)).contains { words[$0..<($0 + phrase.count)].elementsEqual(phrase) }
  }

  private func choose(_ found: [DataColumn], phrase: String, role: Role) throws -> DataColumn {
    if found.count == 1 { return found[0] }
    let fitting = found.filter { column in
      switch role {
      case .measure: column.type.isNumber
      case .group: !column.type.isNumber
      case .any: true
      }
    }
    if fitting.count == 1 { return fitting[0] }
    let names = (fitting.isEmpty ? found : fitting).map { "'\($0.name)'" }
    throw ToolError(
      "AMBIGUOUS_COLUMN", "'\(phrase)' could be \(listed(names, conjunction: "or")); name one of them in full.",
      details: [
        "column": phrase, "candidates": (fitting.isEmpty ? found : fitting).map(\.name).joined(separator: ", "),
      ])
  }
}
