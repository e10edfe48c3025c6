/// What a client does with calls of certain methods, unless the call itself asks for more: gRPC's method configuration
/// (`grpc.service_config.MethodConfig`).
public struct MethodConfiguration: Sendable {
  /// Which methods. The most specific name that fits a call wins, and of equal ones the first.
  public enum Name: Sendable, Hashable {
    case all
    /// `package.Service`.
    case service(String)
    /// `package.Service/Name`, with a slash in front or without, as `Method.path` has it.
    case method(String)
  }

  /// How often a call may be sent.
  public enum Attempts: Sendable, Hashable {
    /// Once, and again only where the server certainly did not look at it.
    case once
    /// Again after certain failures, one attempt at a time.
    case retry(RetryPolicy)
    /// Several at the same time.
    case hedge(HedgingPolicy)
  }

  public var names: [Name]
  /// From the moment the call is made, over all attempts; the earlier of this and the call's own deadline counts.
  public var timeout: Duration?
  /// Such calls wait for a server that cannot be reached, as those do that ask for it themselves.
  public var waitForReady: Bool
  /// The longest request message, where this is less than the client's.
  public var maximumRequestBytes: Int?
  /// The longest response message, where this is less than the client's.
  public var maximumResponseBytes: Int?
  public var attempts: Attempts

  public init(
    _ names: Name..., timeout: Duration? = nil, waitForReady: Bool = false, maximumRequestBytes: Int? = nil,
    maximumResponseBytes: Int? = nil, attempts: Attempts = .once
  ) {
    self.names = names
    self.timeout = timeout
    self.waitForReady = waitForReady
    self.maximumRequestBytes = maximumRequestBytes
    self.maximumResponseBytes = maximumResponseBytes
    self.attempts = attempts
  }

  /// What a call asks for itself stays, where it is stricter.
  func apply(to options: inout CallOptions) {
    if waitForReady { options.waitForReady = true }
    if let timeout { options.deadline = min(options.deadline ?? .never, .after(timeout)) }
  }
}

/// A client's configurations, to be found by a call's path.
struct MethodTable: Sendable {
  private var methods: [String: MethodConfiguration] = [:]
  private var services: [Substring: MethodConfiguration] = [:]
  private var all: MethodConfiguration?

  /// Nil where there is nothing to find.
  init?(_ configurations: [MethodConfiguration]) {
    guard !configurations.isEmpty else { return nil }
    for configuration in configurations {
      for name in configuration.names { add(configuration, name) }
    }
  }

  private mutating func add(_ configuration: MethodConfiguration, _ name: MethodConfiguration.Name) {
    switch name {
    case .all: all = all ?? configuration
    case .service(let name): services[name[...]] = services[name[...]] ?? configuration
    case .method(let name):
      let path = name.hasPrefix("/") ? name : "/" + name
      methods[path] = methods[path] ?? configuration
    }
  }

  /// - Parameter path: `/package.Service/Name`.
  subscript(path path: String) -> MethodConfiguration? {
    if let method = methods[path] { return method }
    if !services.isEmpty, let slash = path.lastIndex(of: "/"), let service = services[path[..<slash].dropFirst()] {
      return service
    }
    return all
  }
}
