import Foundation
import Synchronization

extension String {
  var trimmedWhitespace: String { trimmingCharacters(in: .whitespacesAndNewlines) }

  /// Replaces every match of a case-insensitive regular expression, which is one of the program's own; `$1` … in the
  /// template are its groups.
  func replacing(pattern: String, with template: String) -> String {
    guard let expression = CompiledPatterns.shared[pattern] else { return self }
    let all = NSRange(location: 0, length: utf16.count)
    // Most patterns match nothing, and looking costs less than building the same text anew.
    guard expression.firstMatch(in: self, range: all) != nil else { return self }
    return expression.stringByReplacingMatches(in: self, range: all, withTemplate: template)
  }

  func matches(pattern: String) -> Bool {
    let all = NSRange(location: 0, length: utf16.count)
    return CompiledPatterns.shared[pattern]?.firstMatch(in: self, range: all) != nil
  }

  /// At most `count` characters, with an ellipsis where something was cut.
  func shortened(to count: Int) -> String {
    self.count <= count ? self : String(prefix(max(count - 1, 0))) + "…"
  }
}

/// `a`, `a and b`, `a, b and c`.
func listed(_ words: [String], conjunction: String = "and") -> String {
  guard let last = words.last, words.count > 1 else { return words.first ?? "" }
  return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
}

/// `1 row`, `2 rows`, `1,234 rows`.
func counted(_ count: Int, _ noun: String, plural: String? = nil) -> String {
  "\(grouped(count)) \(count == 1 ? noun : plural ?? noun + "s")"
}

/// An integer with a comma at every thousand.
func grouped(_ value: Int) -> String {
  groupedDigits(String(value))
}

/// Puts a comma at every thousand of a decimal text such as `-1234567.89`.
func groupedDigits(_ text: String) -> String {
  let sign = text.hasPrefix("-") ? "-" : ""
  let parts = text.dropFirst(sign.count).split(separator: ".", maxSplits: 1)
  guard let whole = parts.first, whole.count > 3, whole.allSatisfy(\.isNumber) else { return text }
  var out = ""
  for (offset, digit) in whole.enumerated() {
    if offset > 0, (whole.count - offset) % 3 == 0 { out.append(",") }
    out.append(digit)
  }
  return sign + out + (parts.count > 1 ? "." + parts[1] : "")
}

/// The smallest number of single-character edits, swaps of neighbours included, that turn `a` into `b`.
func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a), b = Array(b)
  if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
  var before = [Int](), previous = Array(0...b.count)
  for i in 1...a.count {
    var row = [i]
    for j in 1...b.count {
      var best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, before[j - 2] + 1) }
      row.append(best)
    }
    before = previous
    previous = row
  }
  return previous[b.count]
}

/// The candidate closest to `word`, if it is close enough to have been meant: at most a third of it is different.
func closest(to word: String, in candidates: [String]) -> String? {
  let word = word.lowercased()
  let scored = candidates.map { ($0, editDistance(word, $0.lowercased())) }
  guard let best = scored.min(by: { $0.1 < $1.1 }), best.1 <= max(1, word.count / 3) else { return nil }
  return best.0
}

/// Regular expressions by their patterns, without regard to case. Compiling one costs a hundred times as much as
/// matching it against a sentence.
private final class CompiledPatterns: Sendable {
  static let shared = CompiledPatterns()

  private let known = Mutex<[String: NSRegularExpression]>([:])

  /// Nil for a pattern that is none.
  subscript(pattern: String) -> NSRegularExpression? {
    if let found = known.withLock({ $0[pattern] }) { return found }
    guard let made = try? NSRegularExpression(pattern: pattern, options: .caseInsensitive) else { return nil }
    known.withLock { $0[pattern] = made }
    return made
  }
}
