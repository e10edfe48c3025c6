import Foundation

/// Where the gateway is: scheme, host and port, and perhaps a path that a proxy adds.
struct GatewayAddress: Sendable, Hashable, CustomStringConvertible {
  static let standard = GatewayAddress(unchecked: "http://127.0.0.1:8420")

  /// Without a slash at the end.
  let description: String

  /// Takes `http://host:port`, `https://…` and plain `host:port`. Nil for anything with a query, a fragment, a user
  /// name, another scheme or no host.
  init?(_ text: String) {
    let complete = text.contains("://") ? text : "http://\(text)"
    guard let parts = URLComponents(string: complete), ["http", "https"].contains(parts.scheme?.lowercased()),
      let host = parts.host, !host.isEmpty, parts.query == nil, parts.fragment == nil, parts.user == nil,
      parts.port.map({ (1...65_535).contains($0) }) ?? true
    else { return nil }
    var trimmed = complete[...]
    while trimmed.last == "/" { trimmed = trimmed.dropLast() }
    description = String(trimmed)
  }

  init(host: String, port: Int) { description = "http://\(host):\(port)" }

  private init(unchecked: String) { description = unchecked }

  /// The address of an API resource. Path components are encoded, so an id can never climb out of its place.
  func url(_ path: [String], query: [(String, String)] = []) -> String {
    var url = "\(description)/api/v1"
    for component in path { url += "/" + Self.encoded(component) }
    let pairs = query.map { "\($0.0)=\(Self.encoded($0.1))" }
    return pairs.isEmpty ? url : "\(url)?\(pairs.joined(separator: "&"))"
  }

  /// Where the bytes of an artifact can be fetched, also with a browser.
  func artifactContent(_ id: String) -> String { url(["artifacts", id, "content"]) }

  /// RFC 3986 section 2.3: all but unreserved characters. `.` and `..` alone would be path steps, so they get encoded
  /// twice over: such an id exists nowhere, and the answer says so.
  private static func encoded(_ text: String) -> String {
    if text == "." || text == ".." { return text.replacing(".", with: "%252E") }
    return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
  }

  private static let unreserved = CharacterSet(
    charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
}
