import Foundation

/// An http or https address in one spelling, so that what is checked is what is fetched.
struct WebAddress: Hashable, Sendable {
  let scheme: String
  /// Lowercase, without brackets; an IPv4 address in any spelling is brought to dotted decimals.
  let host: String
  /// Nil where it is the scheme's own.
  let port: Int?
  /// Path and query, percent-encoded; at least `/`.
  let target: String
  /// The host if it is an address and not a name.
  let literal: IPAddress?

  /// Throws `BAD_URL`, `UNSUPPORTED_SCHEME`.
  init(_ text: String) throws {
    guard let parts = URLComponents(string: text.trimmedWhitespace), let scheme = parts.scheme?.lowercased() else {
      throw WebError.badURL(text)
    }
    guard scheme == "http" || scheme == "https" else { throw WebError.scheme(scheme) }
    guard parts.user == nil, parts.password == nil else {
      throw ToolError("BAD_URL", "An address with a user name or password in it is not fetched.", details: [:])
    }
    guard var host = parts.host?.lowercased(), !host.isEmpty, host.count <= 253 else { throw WebError.badURL(text) }
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    let forbidden: Set<Character> = ["%", "/", "\\", "@", "?", "#", "<", ">", " ", "[", "]"]
    guard
      !host.contains(where: { forbidden.contains($0) || $0.isWhitespace || $0.asciiValue.map { $0 < 0x21 } == true })
    else {
      throw WebError.badURL(text)
    }
    literal = try HostResolver.literal6(host) ?? IPAddress.loose4(host)
    self.scheme = scheme
    self.host = literal?.description ?? host
    port = parts.port == (scheme == "http" ? 80 : 443) ? nil : parts.port
    guard (port ?? 80) > 0, (port ?? 80) < 65_536 else { throw WebError.badURL(text) }
    let path = parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
    target = path + (parts.percentEncodedQuery.map { "?" + $0 } ?? "")
  }

  var text: String {
    let shown = if case .v6 = literal { "[\(host)]" } else { host }
    return "\(scheme)://\(shown)\(port.map { ":\($0)" } ?? "")\(target)"
  }

  /// A redirect's or link's target; nil if it leads out of the web (`mailto:`, `javascript:`).
  func resolve(_ reference: String) throws -> WebAddress {
    guard let url = URL(string: reference.trimmedWhitespace, relativeTo: URL(string: text)) else {
      throw WebError.badURL(reference)
    }
    return try WebAddress(url.absoluteString)
  }

  /// The addresses in an objective, at most five, each once; a bare `www.example.org/page` counts as https.
  /// Throws `UNSUPPORTED_SCHEME` if there is only something like `ftp://…` or `file:///…`.
  static func find(in objective: String, except fileNames: [String] = []) throws -> [String] {
    var found = matches("[a-zA-Z][a-zA-Z0-9+.-]*://[^\\s<>\"'`]+", objective)
    let isWeb: (String) -> Bool = { $0.lowercased().hasPrefix("http://") || $0.lowercased().hasPrefix("https://") }
    if let other = found.first, !found.contains(where: isWeb) {
      throw WebError.scheme(String(other.prefix { $0 != ":" }))
    }
    found = found.filter(isWeb)
    if found.isEmpty {
      let files: Set<String> = [
        "html", "htm", "csv", "tsv", "txt", "json", "xml", "pdf", "md", "xlsx", "png", "jpg", "zip", "js", "py",
      ]
      found = matches(
        "(?<![@\\w.-])(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\\.)+[a-zA-Z]{2,24}(?::[0-9]{1,5})?"
          + "(?:/[^\\s<>\"'`]*)?(?![\\w@])",
        objective
      )
      .filter { candidate in
        let host = candidate.prefix { $0 != "/" && $0 != ":" }
        let ending = host.split(separator: ".").last.map { $0.lowercased() } ?? ""
        return !files.contains(ending) && !fileNames.contains(String(host))
      }
      .map { "https://" + $0 }
    }
    var unique: [String] = []
    for address in found.map(withoutTrailingMarks) where !unique.contains(address) { unique.append(address) }
    return Array(unique.prefix(5))
  }

  private static func matches(_ pattern: String, _ text: String) -> [String] {
    guard let expression = try? NSRegularExpression(pattern: pattern) else { return [] }
    return expression.matches(in: text, range: NSRange(text.startIndex..., in: text)).compactMap { match in
      Range(match.range, in: text).map { String(text[$0]) }
    }
  }

  /// The sentence's own punctuation is no part of the address; a closing parenthesis is if one was opened in it.
  private static func withoutTrailingMarks(_ text: String) -> String {
    var text = text
    while let last = text.last {
      let unopened =
        last == ")" && text.count { $0 == ")" } > text.count { $0 == "(" } || last == "]" && !text.contains("[")
      guard ".,;:!?’”}".contains(last) || unopened else { break }
      text.removeLast()
    }
    return text
  }
}
