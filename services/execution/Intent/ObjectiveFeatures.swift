/// What the classifier sees of an objective: its words, its pairs of words, and signs, which are written `<so>`.
enum ObjectiveFeatures {
  static let number = "<number>"
  static let formula = "<formula>"
  static let address = "<address>"
  static let table = "<table>"
  static let page = "<page>"

  /// A sign counts as several words: one address says more than any word beside it.
  private static let weightOfSign = 3

  static func of(_ objective: String, inputs: [(name: String, mediaType: String)]) -> [String] {
    let pieces = objective.lowercased().split(whereSeparator: \.isWhitespace).map(String.init)
    var words: [String] = []
    var signs: Set<String> = []
    for piece in pieces {
      if isAddress(piece) {
        signs.insert(address)
      } else {
        if isFormula(piece) { signs.insert(formula) }
        if let sign = fileSign(name: piece, mediaType: "") { signs.insert(sign) }
        words += piece.split { !($0.isLetter || $0.isNumber || $0 == "'") }.map { word in
          word.contains(where: \.isNumber) ? number : stem(String(word))
        }
      }
    }
    signs.formUnion(inputs.compactMap { fileSign(name: $0.name.lowercased(), mediaType: $0.mediaType) })
    let pairs = zip(words, words.dropFirst()).map { "\($0) \($1)" }
    return words + pairs + signs.sorted().flatMap { Array(repeating: $0, count: weightOfSign) }
  }

  /// A feature in words.
  static func explain(_ feature: String) -> String {
    switch feature {
    case number: "it has a number"
    case formula: "it has a formula"
    case address: "it has a web address"
    case table: "a table comes with it"
    case page: "a web page comes with it"
    default: "\"\(feature.replacing(number, with: "…"))\""
    }
  }

  /// Of any scheme: the tool for web pages says which ones it can fetch.
  private static func isAddress(_ piece: String) -> Bool {
    piece.hasPrefix("www.") || hasScheme(piece) || startsWithHost(piece)
  }

  /// Somewhere `://` behind letters, digits and `+.-`, of which the first is a letter (RFC 3986, section 3.1).
  private static func hasScheme(_ piece: String) -> Bool {
    let bytes = Array(piece.utf8)
    return bytes.indices.dropLast(2).contains { index in
      let before = bytes[..<index].reversed().prefix { isNameByte($0) || $0 == plus || $0 == dot }
      return bytes[index...].starts(with: "://".utf8) && before.contains(where: isLetter)
    }
  }

  /// `name.name.org`, alone or with a path, a port or a query behind it.
  private static func startsWithHost(_ piece: String) -> Bool {
    let host = piece.utf8.prefix { !"/:?".utf8.contains($0) }
    let labels = host.split(separator: dot, omittingEmptySubsequences: false)
    guard labels.count > 1, let last = labels.last, endings.contains(where: { last.elementsEqual($0.utf8) }) else {
      return false
    }
    return labels.allSatisfy { !$0.isEmpty && $0.allSatisfy(isNameByte) }
  }

  private static let endings = ["com", "org", "net", "edu", "gov", "io", "dev", "info"]
  private static let dot = UInt8(ascii: ".")
  private static let plus = UInt8(ascii: "+")

  private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }
  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
  private static func isNameByte(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "-") }

  /// An operator behind a digit or a bracket or alone, a percentage, or a function that is called with a number.
  private static func isFormula(_ piece: String) -> Bool {
    let operators: Set<Unicode.Scalar> = ["-", "+", "*", "/", "^", "×", "÷"]
    let scalars = Array(piece.unicodeScalars)
    if scalars.count == 1 { return operators.contains(scalars[0]) || scalars[0] == "=" }
    for (first, second) in zip(scalars, scalars.dropFirst()) {
      let isNumber = ("0"..."9").contains(first)
      if (isNumber || first == ")") && operators.contains(second) || isNumber && second == "%" { return true }
    }
    let called = scalars.drop { ("a"..."z").contains($0) }
    return called.count < scalars.count && called.first == "(" && called.contains { ("0"..."9").contains($0) }
  }

  private static func fileSign(name: String, mediaType: String) -> String? {
    let name = name.trimmingSuffix(while: { ".,;:?!\"')".contains($0) })
    if mediaType.hasPrefix("text/csv") || mediaType.hasPrefix("text/tab-separated") { return table }
    if mediaType.hasPrefix("application/json") { return table }
    if mediaType.hasPrefix("text/html") { return page }
    if [".csv", ".tsv", ".json"].contains(where: name.hasSuffix) { return table }
    return [".html", ".htm"].contains(where: name.hasSuffix) ? page : nil
  }

  /// Plurals and the commonest endings off, so that "averages" counts as "average".
  private static func stem(_ word: String) -> String {
    let word = word.hasSuffix("'s") ? String(word.dropLast(2)) : word
    if word.count > 4, word.hasSuffix("ies") { return word.dropLast(3) + "y" }
    if word.count > 3, word.hasSuffix("s"), !word.hasSuffix("ss"), !word.hasSuffix("us") { return String(word.dropLast()) }
    return word
  }
}

extension String {
  fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> String {
    var rest = self[...]
    while let last = rest.last, predicate(last) { rest = rest.dropLast() }
    return String(rest)
  }
}
