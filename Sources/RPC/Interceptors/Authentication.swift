/// Who makes a call, as `Authentication` found out.
public struct Principal: Sendable, Hashable {
  /// Unique among all principals: a user's id, `spiffe://buddy/execution`.
  public var name: String
  /// What else is known: roles, a tenant.
  public var attributes: [String: String]

  public init(_ name: String, attributes: [String: String] = [:]) {
    self.name = name
    self.attributes = attributes
  }

  /// Who makes the call that the current task serves; nil where nobody asked.
  @TaskLocal public static var current: Principal?
}

/// Finds out who makes a call, before its handler runs, and refuses calls without an answer as UNAUTHENTICATED.
public struct Authentication: ServerInterceptor {
  /// Looks at a call's metadata, path and peer.
  ///
  /// Returns nil where they prove nothing. May take its time: the call's deadline goes on. An error it throws ends the
  /// call as a handler's does; text of one that is no `Status` stays here.
  public typealias Verify = @Sendable (ServerContext) async throws -> Principal?

  private let methods: MethodSelection
  private let verify: Verify

  /// - Parameter services: Open to everybody, by their full names: `grpc.health.v1.Health`, say. None by default.
  public init(except services: [String] = [], _ verify: @escaping Verify) {
    methods = MethodSelection(except: services)
    self.verify = verify
  }

  /// Calls that carry `authorization: Bearer TOKEN` (RFC 6750 §2.1), once. Compare tokens in constant time.
  public static func bearer(
    except services: [String] = [],
    _ verify: @escaping @Sendable (_ token: String, _ context: ServerContext) async throws -> Principal?
  ) -> Authentication {
    Authentication(except: services) { context in
      guard let token = bearerToken(context.metadata.all("authorization")) else { return nil }
      return try await verify(token, context)
    }
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path) else { return try await next() }
    guard let principal = try await verify(context) else {
      throw Status(.unauthenticated, "the call carries no valid credentials")
    }
    try await Principal.$current.withValue(principal) { try await next() }
  }

  /// The scheme's name is in any case (RFC 9110 §11.1).
  static func bearerToken(_ values: [String]) -> String? {
    guard values.count == 1 else { return nil }
    let parts = values[0].split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
    let token = parts[1].drop { $0 == " " }
    return token.isEmpty || token.contains(" ") ? nil : String(token)
  }
}
