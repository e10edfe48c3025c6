import HTTPTypes
import Hummingbird

/// Keeps web pages of other sites away from a gateway that has no accounts: a page may make its visitor's browser send
/// requests to loopback, either across origins (CSRF) or by pointing its own name at 127.0.0.1 (DNS rebinding).
struct HostGuard: Sendable {
  /// Names that are answered to besides loopback, lower-case and without port.
  let allowed: Set<String>
  /// True when listening on every address: then any IP literal is fine, for rebinding needs a name.
  let allowsLiterals: Bool
  /// Of `allowed`, those that somebody named: pages of these may open a WebSocket, whatever the proxy in between says.
  private let named: Set<String>

  /// - Parameters:
  ///   - host: the address the gateway listens on.
  ///   - allowedHosts: further names it is reached by, with or without a port.
  init(host: String, allowedHosts: [String]) {
    let names = ([host] + allowedHosts).compactMap { Authority($0.lowercased())?.host }
    allowed = Set(names)
    named = Set(allowedHosts.compactMap { Authority($0.lowercased())?.host })
    allowsLiterals = ["0.0.0.0", "::"].contains(host)
  }

  /// - Throws: `GatewayError` 400 without a Host or with several, 403 for a foreign Host, Origin or site.
  func check(_ request: Request) throws {
    // The first Host is the request's authority; any other is still among the headers. A proxy might judge that one.
    let others = request.headers[.host].map { [$0] } ?? []
    let host = try checkHost([request.head.authority].compactMap(\.self) + others)
    if !request.method.isSafe { try checkOrigin(request, host: host) }
  }

  /// A page of any site may open a WebSocket, and read what comes: the browser only says whose page it is.
  /// - Parameters:
  ///   - hosts: every Host that the request names.
  ///   - origin: its Origin; programs send none.
  /// - Throws: `GatewayError` as `check`.
  func checkSocket(hosts: [String], origin: String?) throws {
    let host = try checkHost(hosts)
    guard let origin = origin?.lowercased() else { return }
    let name = origin.firstRange(of: "://").flatMap { Authority(String(origin[$0.upperBound...]))?.host }
    guard isOwn(origin, host: host) || name.map(named.contains) == true else {
      throw GatewayError(
        status: .forbidden, code: "ORIGIN_NOT_ALLOWED", message: "Pages of another origin may not watch here.")
    }
  }

  /// - Returns: the one Host, in lower case.
  private func checkHost(_ hosts: [String]) throws -> String {
    guard hosts.count <= 1 else { throw GatewayError.badRequest("The request may have only one Host header.") }
    guard let text = hosts.first?.lowercased(), let authority = Authority(text) else {
      throw GatewayError.badRequest("The request needs a Host header with a name or an address.")
    }
    guard allows(authority.host) else {
      throw GatewayError(
        status: .forbidden, code: "HOST_NOT_ALLOWED",
        message: "This gateway does not answer to the host \"\(authority.host)\"; --allowed-host adds a name.")
    }
    return text
  }

  private func isOwn(_ origin: String, host: String) -> Bool {
    origin == "http://\(host)" || origin == "https://\(host)"
  }

  func allows(_ host: String) -> Bool {
    if host == "localhost" || host.hasSuffix(".localhost") || allowed.contains(host) { return true }
    if isLoopback(host) { return true }
    return allowsLiterals && (host.contains(":") || ipv4(host) != nil)
  }

  /// Browsers say on every request that changes something where it comes from; programs say nothing.
  private func checkOrigin(_ request: Request, host: String) throws {
    let site = request.headers[.secFetchSite]
    let origin = request.headers[.origin]?.lowercased()
    guard origin.map({ isOwn($0, host: host) }) ?? true, site == nil || site == "same-origin" || site == "none" else {
      throw GatewayError(
        status: .forbidden, code: "ORIGIN_NOT_ALLOWED",
        message: "Pages of another origin may not change anything here.")
    }
  }

  private func isLoopback(_ host: String) -> Bool {
    host == "::1" || ipv4(host)?.first == 127
  }

  /// The four numbers of a dotted address; nil if it is not one.
  private func ipv4(_ host: String) -> [UInt8]? {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    let numbers = parts.compactMap(\.self)
    return parts.count == 4 && numbers.count == 4 ? numbers : nil
  }
}

/// A Host header taken apart: `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`, and the bare `::1` of a setting.
struct Authority: Equatable, Sendable {
  let host: String

  init?(_ text: String) {
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: "]"), Self.isPort(text[text.index(after: close)...]) else { return nil }
      host = String(text[text.index(after: text.startIndex)..<close])
    } else if text.utf8.count(where: { $0 == UInt8(ascii: ":") }) > 1 {
      host = text
    } else {
      let end = text.firstIndex(of: ":") ?? text.endIndex
      guard Self.isPort(text[end...]) else { return nil }
      host = String(text[..<end])
    }
    if host.isEmpty { return nil }
  }

  /// True for nothing, or a colon and a port number.
  private static func isPort(_ text: Substring) -> Bool {
    text.isEmpty || (text.first == ":" && UInt16(text.dropFirst()) != nil)
  }
}

extension HTTPRequest.Method {
  /// RFC 9110 §9.2.1: asks for nothing to be changed.
  var isSafe: Bool { self == .get || self == .head || self == .options }
}

extension HTTPField.Name {
  static let host = Self("Host")!
  static let secFetchSite = Self("Sec-Fetch-Site")!
  static let lastEventID = Self("Last-Event-ID")!
  static let idempotencyKey = Self("Idempotency-Key")!
  static let user = Self("X-Buddy-User")!
  static let contentSHA256 = Self("X-Content-SHA256")!
  static let digest = Self("Digest")!
  static let contentDigest = Self("Content-Digest")!
}
