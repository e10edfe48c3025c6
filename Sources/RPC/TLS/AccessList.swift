/// Who may call what. What no rule allows is refused: UNAUTHENTICATED where the caller has no verified SPIFFE id,
/// PERMISSION_DENIED where it has one. Needs `ServerTLS.clientCertificates`.
///
/// As a text, a rule a line, the caller first, then what it may call:
///
///     # caller                     methods
///     spiffe://buddy/gateway       *
///     spiffe://buddy/execution     buddy.progress.v1.Inbox buddy.learning.v1.Learning/Advise
///     spiffe://buddy/*             grpc.health.v1.Health
public struct AccessList: ServerInterceptor {
  /// A caller by its SPIFFE id.
  public enum Caller: Sendable, Hashable {
    /// Anyone who is connected, known or not: `*`.
    case anyone
    case exactly(String)
    /// Every id below this path: `spiffe://buddy/*`.
    case below(String)

    /// As in the text. Nil for what is neither `*` nor a SPIFFE id.
    public init?(_ text: some StringProtocol) {
      if text == "*" {
        self = .anyone
      } else if !text.hasPrefix("spiffe://") || text.dropLast().contains("*") {
        return nil
      } else if text.hasSuffix("/*") {
        self = .below(String(text.dropLast()))
      } else if text.hasSuffix("*") {
        return nil
      } else {
        self = .exactly(String(text))
      }
    }

    func covers(_ id: String?) -> Bool {
      switch self {
      case .anyone: true
      case .exactly(let own): id == own
      case .below(let path): id.map { $0.hasPrefix(path) && $0.utf8.count > path.utf8.count } ?? false
      }
    }
  }

  /// What may be called.
  public enum Methods: Sendable, Hashable {
    /// `*`
    case all
    /// `package.Service`
    case service(String)
    /// `package.Service/Method`
    case method(String)

    /// As in the text. Nil for an empty one, or one with more than one slash.
    public init?(_ text: some StringProtocol) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.allSatisfy({ !$0.isEmpty }), parts.count <= 2 else { return nil }
      if text == "*" {
        self = .all
      } else if text.contains("*") {
        return nil
      } else {
        self = parts.count == 1 ? .service(String(text)) : .method(String(text))
      }
    }
  }

  /// One line.
  public struct Rule: Sendable, Hashable {
    public let caller: Caller
    public let methods: [Methods]

    public init(_ caller: Caller, _ methods: [Methods]) {
      self.caller = caller
      self.methods = methods
    }
  }

  /// A text that is no list of rules.
  public struct ParseError: Error, Sendable, Hashable, CustomStringConvertible {
    /// With the number of the line: "line 3: …".
    public let description: String
  }

  private struct Entry {
    let caller: Caller
    let allowsAll: Bool
    /// As they stand in a call's path: `/package.Service/`, `/package.Service/Method`.
    let services: [String]
    let methods: Set<String>
  }
  private let entries: [Entry]

  public init(_ rules: [Rule]) {
    entries = rules.map { rule in
      var (allowsAll, services, methods) = (false, [String](), Set<String>())
      for allowed in rule.methods {
        switch allowed {
        case .all: allowsAll = true
        case .service(let name): services.append("/\(name)/")
        case .method(let name): methods.insert("/\(name)")
        }
      }
      return Entry(caller: rule.caller, allowsAll: allowsAll, services: services, methods: methods)
    }
  }

  /// - Parameter text: Rules as above; empty lines, and what follows a `#`, do not count.
  public init(text: String) throws(ParseError) {
    var rules: [Rule] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" || $0 == "," || $0.isNewline }
      guard let first = words.first else { continue }
      guard let caller = Caller(first) else {
        throw ParseError(
          description: "line \(index + 1): \"\(first)\" is neither * nor a caller like spiffe://buddy/name")
      }
      var methods: [Methods] = []
      for word in words.dropFirst() {
        guard let allowed = Methods(word) else {
          throw ParseError(description: "line \(index + 1): \"\(word)\" is neither *, a service nor service/method")
        }
        methods.append(allowed)
      }
      guard !methods.isEmpty else { throw ParseError(description: "line \(index + 1): \(first) may call nothing") }
      rules.append(Rule(caller, methods))
    }
    self.init(rules)
  }

  /// - Parameters:
  ///   - caller: A SPIFFE id; nil for a caller without.
  ///   - path: `/package.Service/Method`.
  public func allows(_ caller: String?, path: String) -> Bool {
    entries.contains { entry in
      guard entry.caller.covers(caller) else { return false }
      return entry.allowsAll || entry.methods.contains(path) || entry.services.contains { path.hasPrefix($0) }
    }
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    let caller = context.peerIdentity?.spiffeID
    guard allows(caller, path: context.path) else {
      guard let caller else {
        throw Status(.unauthenticated, "the caller showed no certificate with a SPIFFE id")
      }
      throw Status(.permissionDenied, "\(caller) may not call \(context.path)")
    }
    try await next()
  }
}
