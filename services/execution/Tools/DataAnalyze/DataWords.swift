/// A word of an objective.
struct DataWord: Sendable {
  enum Kind: Sendable { case word, quoted, number, symbol }
  let kind: Kind
  /// As written, without quotes.
  let text: String
  let lower: String
  /// Lowercase singular.
  let stem: String
  let number: Double?
  /// Character offsets in the objective.
  let range: Range<Int>
}

/// Cuts objectives and column names into words.
enum DataWords {
  /// Column names: at anything that is not a letter or digit, and where camelCase turns; lowercase singulars.
  static func words(_ name: String) -> [String] {
    var words: [String] = []
    var current = ""
    var previousLower = false
    for character in name {
      if !character.isLetter && !character.isNumber {
        if !current.isEmpty { words.append(current) }
        (current, previousLower) = ("", false)
        continue
      }
      if character.isUppercase, previousLower {
        words.append(current)
        current = ""
      }
      current.append(character)
      previousLower = character.isLowercase
    }
    if !current.isEmpty { words.append(current) }
    return words.map { stem($0.lowercased()) }
  }

  /// The singular of an English plural, roughly; the same rule runs over both sides of a comparison.
  static func stem(_ word: String) -> String {
    if word.count > 4, word.hasSuffix("ies") { return word.dropLast(3) + "y" }
    if word.count > 4, ["sses", "shes", "ches", "xes", "zes"].contains(where: word.hasSuffix) {
      return String(word.dropLast(2))
    }
    if word.count > 3, word.hasSuffix("s"), !["ss", "us", "is"].contains(where: word.hasSuffix) {
      return String(word.dropLast())
    }
    return word
  }

  static func split(_ objective: String) -> [DataWord] {
    let characters = Array(objective)
    var words: [DataWord] = []
    var index = 0
    while index < characters.count {
      let start = index
      let character = characters[index]
      if character.isWhitespace {
        index += 1
      } else if let end = quotedEnd(characters, index) {
        let text = String(characters[(index + 1)..<end])
        words.append(make(.quoted, text, start..<(end + 1)))
        index = end + 1
      } else if let end = numberEnd(characters, index) {
        let text = String(characters[index..<end])
        words.append(make(.number, text, start..<end))
        index = end
      } else if character.isLetter || character.isNumber || character == "_" || character == "$" {
        while index < characters.count, isWordPart(characters, index) { index += 1 }
        index = max(index, start + 1)
        words.append(make(.word, String(characters[start..<index]), start..<index))
      } else {
        let pairs = [">=", "<=", "!=", "<>", "=="]
        let pair = index + 1 < characters.count ? String(characters[index...(index + 1)]) : ""
        index += pairs.contains(pair) ? 2 : 1
        words.append(make(.symbol, String(characters[start..<index]), start..<index))
      }
    }
    return words
  }

  private static func make(_ kind: DataWord.Kind, _ text: String, _ range: Range<Int>) -> DataWord {
    let lower = text.lowercased()
    let number = kind == .number ? NumberText.parse(text)?.double : nil
    return DataWord(kind: kind, text: text, lower: lower, stem: stem(lower), number: number, range: range)
  }

  private static func quotedEnd(_ characters: [Character], _ index: Int) -> Int? {
    let closing: [Character: Character] = ["\"": "\"", "“": "”", "`": "`", "'": "'", "‘": "’"]
    guard let close = closing[characters[index]] else { return nil }
    // An apostrophe inside a word ("what's") opens nothing.
    if index > 0, characters[index - 1].isLetter || characters[index - 1].isNumber { return nil }
    guard let end = characters[(index + 1)...].firstIndex(of: close), end > index + 1 else { return nil }
    if close == "'", end + 1 < characters.count, characters[end + 1].isLetter { return nil }
    return end
  }

  /// `1,234.5`, `-3`, `$12`, `15%`; not `2023-05` or `3rd`, which are words.
  private static func numberEnd(_ characters: [Character], _ start: Int) -> Int? {
    var index = start
    if "$€£-−+".contains(characters[index]) { index += 1 }
    if index < characters.count, index > start, "$€£".contains(characters[index]) { index += 1 }
    guard index < characters.count, characters[index].isASCII, characters[index].isNumber else { return nil }
    if index > start, start > 0, characters[start] == "-", !characters[start - 1].isWhitespace { return nil }
    var end = index
    while end < characters.count, characters[end].isNumber || isInnerMark(characters, end) { end += 1 }
    if end < characters.count, characters[end] == "%" { end += 1 }
    if end < characters.count, characters[end].isLetter || "-/:_".contains(characters[end]) {
      let next = end + 1 < characters.count ? characters[end + 1] : " "
      if characters[end].isLetter || next.isNumber { return nil }
    }
    return NumberText.parse(String(characters[start..<end])) == nil ? nil : end
  }

  private static func isInnerMark(_ characters: [Character], _ index: Int) -> Bool {
    guard characters[index] == "." || characters[index] == ",", index + 1 < characters.count else { return false }
    return characters[index + 1].isNumber
  }

  /// Letters, digits, underscores, and marks between them (`e-mail`, `2023-05-01`, `what's`, `u.s`).
  private static func isWordPart(_ characters: [Character], _ index: Int) -> Bool {
    let character = characters[index]
    if character.isLetter || character.isNumber || character == "_" || character == "$" { return true }
    guard "-'’./:".contains(character), index + 1 < characters.count, index > 0 else { return false }
    let before = characters[index - 1], after = characters[index + 1]
    return (before.isLetter || before.isNumber) && (after.isLetter || after.isNumber)
  }
}
