/// Rankings ("top 5 products by revenue") and the words between the clauses.
extension QuestionParser {
  mutating func top(largest: Bool) throws {
    let count = takeCount()
    draft.top = Top(count: try Self.limited(count ?? 10), largest: largest)
    if count == nil { draft.assumptions.append("No number was named: the first 10.") }
    skip(["the", "most", "best", "different"])
    try rankedSubject()
  }

  mutating func rankedSubject() throws {
    guard index < tokens.count else { return }
    if let match = try matcher.match(tokens, at: index, role: .group, partial: true) {
      index += match.length
      if match.column.type.isNumber {
        draft.ranking = (nil, match.column.index)  // "top 5 prices"
      } else {
        draft.add(.column(match.column.index))
        if let next = listContinuation(), let other = try matcher.match(tokens, at: next, role: .group, partial: false),
          !other.column.type.isNumber
        {
          draft.add(.column(other.column.index))
          index = next + other.length
        }
      }
    } else if QuestionLexicon.clause(tokens, at: index) == nil, tokens[index].kind == .word,
      !QuestionLexicon.filler.contains(tokens[index].stem)
    {
      if ["entry", "item", "line", "result", "observation"].contains(tokens[index].stem) {
        draft.wantsRows = true
        index += 1
      } else {
        throw matcher.unknown(unknownPhrase())
      }
    }
  }

  /// What stands behind "top 5 products by".
  mutating func rankBy() throws {
    skip(["the", "its", "their"])
    var aggregate: Aggregate?
    if let (clause, length) = QuestionLexicon.clause(tokens, at: index), case .aggregate(let named) = clause {
      let own = try matcher.match(tokens, at: index, role: .measure, partial: false)
      if own == nil {
        aggregate = named
        index += length
        skip(["the", "of"])
      }
    }
    if let match = try matcher.match(tokens, at: index, role: .measure, partial: true) {
      index += match.length
      guard match.column.type.isNumber || aggregate == .count || aggregate == .distinct else {
        // "top 5 by region": the ranking is by another measure, region is the group.
        draft.add(.column(match.column.index))
        return
      }
      draft.ranking = (aggregate, match.column.index)
    } else if aggregate == .count {
      draft.ranking = (.count, nil)
      if index < tokens.count, QuestionLexicon.clause(tokens, at: index) == nil { index += 1 }
    } else {
      throw matcher.unknown(index < tokens.count ? unknownPhrase() : "by …")
    }
  }

  mutating func extreme(largest: Bool, keywordAt start: Int) throws {
    if index < tokens.count, ["common", "frequent", "popular"].contains(tokens[index].lower) {
      index += 1
      draft.top = draft.top ?? Top(count: 10, largest: largest)
      draft.ranking = (.count, nil)
      return try rankedSubject()
    }
    let before = start > 0 ? tokens[start - 1].number : nil
    let ranks =
      before != nil || draft.subject != nil
      || (start > 0 && ["with", "has", "had", "have"].contains(tokens[start - 1].lower))
      || (start > 1 && tokens[start - 1].lower == "the"
        && ["with", "has", "had", "have"].contains(tokens[start - 2].lower))
    guard ranks else { return try measure(largest ? .max : .min, keywordAt: start) }
    let count =
      before.flatMap { Int(exactly: $0) } ?? takeCount() ?? draft.top?.count
      ?? takeLooseNumber() ?? 1
    draft.top = Top(count: try Self.limited(count), largest: largest)
    if let subject = draft.subject {
      draft.add(.column(subject))
    } else if let mentioned = draft.bare.last(where: { !table.columns[$0].type.isNumber }) {
      draft.bare.removeAll { $0 == mentioned }
      draft.add(.column(mentioned))
    }
    if index < tokens.count, ["row", "record", "entry"].contains(tokens[index].stem) {
      draft.ranking = (.count, nil)
      index += 1
    } else {
      try rankBy()
    }
  }

  mutating func which() throws {
    skip(["the"])
    guard let match = try? matcher.match(tokens, at: index, role: .group, partial: true) else { return }
    index += match.length
    draft.subject = match.column.index
  }

  mutating func sort() throws {
    skip(["the"])
    guard let match = try matcher.match(tokens, at: index, role: .any, partial: true) else { return }
    index += match.length
    let direction = index < tokens.count ? tokens[index].lower : ""
    draft.sort = (match.column.index, ["descending", "desc", "decreasing"].contains(direction))
    if ["ascending", "asc", "increasing", "descending", "desc", "decreasing"].contains(direction) { index += 1 }
  }

  mutating func takeCount() -> Int? {
    let words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    guard index < tokens.count else { return nil }
    if let number = tokens[index].number, let count = Int(exactly: number) {
      index += 1
      return count
    }
    guard let position = words.firstIndex(of: tokens[index].lower) else { return nil }
    index += 1
    return position + 1
  }

  static func limited(_ count: Int) throws -> Int {
    guard (1...QueryLimits.outputRows).contains(count) else {
      throw ToolError("BAD_TOP", "The number of rows to show must be from 1 to \(grouped(QueryLimits.outputRows)).")
    }
    return count
  }

  // MARK: - First and last rows

  /// "first 5 rows", "the last row", "first 3".
  mutating func takeSlice() throws -> Bool {
    let start = index
    let word = tokens[start].lower
    guard ["first", "last"].contains(word), tokens[start].kind == .word else { return false }
    index += 1
    let count = takeCount()
    let nouns: Set<String> = ["row", "record", "entry", "line", "item", "result", "observation"]
    let hasNoun = index < tokens.count && nouns.contains(tokens[index].stem)
    guard hasNoun || (count != nil && index == tokens.count) else {
      index = start
      return false
    }
    if hasNoun { index += 1 }
    draft.slice = RowSlice(count: try Self.limited(count ?? 1), fromEnd: word == "last")
    return true
  }

  /// "show 5 rows" are the first five, unless a ranking takes the number.
  mutating func wantRows(_ start: Int) throws {
    draft.wantsRows = true
    if start > 0, let loose = draft.looseNumber, loose.range == tokens[start - 1].range {
      draft.countedRows = loose.number.flatMap { Int(exactly: $0) }
    }
  }

  // MARK: - Words

  /// A column's name, a filler or an unknown word outside any clause.
  mutating func mention() throws {
    let word = tokens[index]
    if word.kind == .symbol || inputNames.contains(word.lower) {
      // "What % of the rows" asks for a share; "5 %" is a number.
      if word.text == "%", index == 0 || tokens[index - 1].number == nil { draft.ignored.append(word.text) }
      index += 1
      return
    }
    if let match = try matcher.match(tokens, at: index, role: .any, partial: false) {
      draft.bare.append(match.column.index)
      index += match.length
      return
    }
    if QuestionLexicon.filler.contains(word.lower) || QuestionLexicon.filler.contains(word.stem) {
      index += 1
      return
    }
    if word.kind == .number {
      if let next = QuestionLexicon.clause(tokens, at: index + 1)?.clause, case .extreme = next {
      } else {
        draft.looseNumber = word
        draft.ignored.append(word.text)
      }
      index += 1
      return
    }
    do {
      if let match = try matcher.match(tokens, at: index, role: .measure, partial: true) {
        draft.bare.append(match.column.index)
        index += match.length
        return
      }
    } catch let error as ToolError {
      // Only a problem if nothing else says what to measure.
      draft.ambiguity = draft.ambiguity ?? error
    }
    draft.ignored.append(word.text)
    index += 1
  }

  /// The 3 of "the 3 rows with the highest price".
  mutating func takeLooseNumber() -> Int? {
    guard let word = draft.looseNumber, let count = word.number.flatMap({ Int(exactly: $0) }) else { return nil }
    draft.looseNumber = nil
    draft.ignored.removeAll { $0 == word.text }
    return count
  }

  mutating func skip(_ words: Set<String>) {
    while index < tokens.count, tokens[index].kind == .word, words.contains(tokens[index].lower),
      (try? matcher.match(tokens, at: index, role: .any, partial: false)) == nil
    { index += 1 }
  }

  /// Where a list goes on behind "and" or a comma.
  func listContinuation(also words: Set<String> = []) -> Int? {
    guard index < tokens.count else { return nil }
    let word = tokens[index]
    guard word.text == "," || word.lower == "and" || word.text == "&" || words.contains(word.lower) else { return nil }
    var next = index + 1
    if word.text == ",", next < tokens.count, tokens[next].lower == "and" { next += 1 }
    while next < tokens.count, tokens[next].lower == "the" { next += 1 }
    return next < tokens.count ? next : nil
  }

  func stems(from index: Int) -> [String] { tokens[min(index, tokens.count)...].prefix(4).map(\.stem) }

  /// The words at the cursor that no column answers to: up to the next clause, at most three.
  func unknownPhrase() -> String {
    var end = index + 1
    while end < tokens.count, end < index + 3, tokens[end].kind == .word,
      QuestionLexicon.clause(tokens, at: end) == nil,
      !QuestionLexicon.filler.contains(tokens[end].lower)
    { end += 1 }
    return index < tokens.count ? tokens[index..<end].map(\.text).joined(separator: " ") : ""
  }
}
