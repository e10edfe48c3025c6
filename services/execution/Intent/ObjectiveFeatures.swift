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
    piece.firstMatch(of: #/[a-z][a-z0-9+.-]*:\/\//#) != nil || piece.hasPrefix("www.")
      || piece.firstMatch(of: #/^[a-z0-9-]+(\.[a-z0-9-]+)*\.(com|org|net|edu|gov|io|dev|info)([\/:?].*)?$/#) != nil
  }

  /// An operator beside a digit or a bracket, or a function that is called.
  private static func isFormula(_ piece: String) -> Bool {
    piece.firstMatch(of: #/[0-9)]\s*[-+*\/^×÷]|^[-+*\/^×÷=]$|[0-9]%|^[a-z]+\(.*[0-9]/#) != nil
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
