public import Logging
public import RPC

/// A line for every call when it is over: method, code, how long it took and who was at the other end, streams too.
/// What is logged of a failure at the server is the error itself, of which callers only learn a status.
public struct CallLogging: ServerInterceptor, ClientInterceptor {
  private let logger: Logger
  private let level: @Sendable (Status) -> Logger.Level
  private let methods: MethodSelection
  private let refusals: LogLimiter

  /// - Parameters:
  ///   - level: Of the line for a call that ended so; `defaultLevel` unless given.
  ///   - refusalsPerSecond: Lines a second, at most, for calls that no handler saw: callers choose how many there are.
  ///     Those left out are counted.
  ///   - services: Left out, by their full names: by default health, whose probes come all the time and tell nothing.
  public init(
    _ logger: Logger, level: @escaping @Sendable (Status) -> Logger.Level = defaultLevel,
    refusalsPerSecond: Int = 20, except services: [String] = [InfrastructureServices.health]
  ) {
    self.logger = logger
    self.level = level
    methods = MethodSelection(except: services)
    refusals = LogLimiter(linesPerSecond: refusalsPerSecond)
  }

  /// Debug for what went well or was the caller's doing; error for the codes that mean a defect; warning for those that
  /// mean overload or absence.
  public static let defaultLevel: @Sendable (Status) -> Logger.Level = { status in
    switch status.code {
    case .unknown, .internalError, .dataLoss: .error
    case .deadlineExceeded, .resourceExhausted, .unavailable: .warning
    default: .debug
    }
  }

  public func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    guard methods.contains(context.path) else { return try await next() }
    let start = ContinuousClock.now
    do {
      try await next()
      log(context.path, Status(.ok), nil, since: start, peer: context.peer)
    } catch {
      log(context.path, Status(reporting: error), error, since: start, peer: context.peer)
      throw error
    }
  }

  /// A call that no handler saw. Its method is not known, and may be anything.
  public func refused(_ status: Status) {
    let level = level(status)
    guard level >= logger.logLevel else { return }
    let (isLogged, leftOut) = refusals.admit()
    if leftOut > 0 { logger.log(level: level, "calls refused", metadata: ["more": "\(leftOut)"]) }
    if isLogged { logger.log(level: level, "call refused", metadata: ["code": "\(status.code.name)"]) }
  }

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    guard methods.contains(call.path) else { return nil }
    let (path, peer, start) = (call.path, call.peer, ContinuousClock.now)
    return { status in log(path, status, status.code == .ok ? nil : status, since: start, peer: peer) }
  }

  private func log(
    _ path: String, _ status: Status, _ error: (any Error)?, since start: ContinuousClock.Instant, peer: String
  ) {
    let level = level(status)
    guard level >= logger.logLevel else { return }
    let (seconds, attoseconds) = start.duration(to: .now).components
    let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    var metadata: Logger.Metadata = [
      "path": "\(path)", "code": "\(status.code.name)", "peer": "\(peer)",
      "milliseconds": "\(Double(microseconds) / 1_000)",
    ]
    if let error { metadata["error"] = "\(error)" }
    logger.log(level: level, "call", metadata: metadata)
  }
}
