/// Gives every call an end.
///
/// At the server a call without a deadline gets one, and a later one than `maximum` is cut to it; both count from the
/// start of the handler. At the client a call that has neither a deadline of its own nor one around it
/// (`Deadline.current`) gets one, before it is sent. For a handler, `Deadline.current` is what counts, and what
/// `ServerContext.deadline` says is what the caller asked for.
public struct DefaultDeadline: ServerInterceptor, ClientInterceptor {
  private let timeout: Duration?
  private let maximum: Duration?
  private let methods: MethodSelection

  /// - Parameters:
  ///   - timeout: For calls without a deadline; nil: they get `maximum`, if there is one.
  ///   - maximum: The longest that any call may take; nil: however long.
  ///   - services: Left out, by their full names: by default health and reflection, whose streams have no end.
  public init(
    _ timeout: Duration? = nil, maximum: Duration? = nil,
    except services: [String] = InfrastructureServices.names
  ) {
    self.timeout = timeout
    self.maximum = maximum
    methods = MethodSelection(except: services)
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path), let limit = limit(context.deadline) else { return try await next() }
    context.shorten(to: limit)
    let earlier = min(limit, Deadline.current ?? .never)
    try await Deadline.$current.withValue(earlier) { try await next() }
  }

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    if methods.contains(call.path), let limit = limit(call.options.effectiveDeadline) { call.options.deadline = limit }
    return nil
  }

  /// Nil where the call's own deadline is good.
  private func limit(_ deadline: Deadline?) -> Deadline? {
    let given = deadline ?? .never
    let longest = maximum.map(Deadline.after) ?? .never
    let wanted = given == .never ? timeout.map(Deadline.after) ?? .never : given
    let result = min(wanted, longest)
    return result < given ? result : nil
  }
}
