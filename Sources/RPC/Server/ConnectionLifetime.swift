import NIOCore

/// How long a connection may live, be without calls, or be silent: the server parameters of gRPC's keepalive (gRFC A8
/// and A9). Pure: it is told the time, in nanoseconds, and acts as exactly as it is asked often.
struct ConnectionLifetime {
  enum Action: Equatable {
    /// Nothing was heard for long: ask whether the peer is still there.
    case ping
    /// It did not answer.
    case close
    /// Old, or without calls for long: no more calls are taken, those under way may finish.
    case drain
    /// They did not finish in time.
    case cutShort
  }

  private let endsAt: Int64?
  private let ageGrace: Int64?
  private let idleLimit: Int64?
  private let pingAfter: Int64?
  private let pingTimeout: Int64

  private var idleSince: Int64
  private var heardAt: Int64
  private var pingedAt: Int64?
  private var drainedAt: Int64?

  /// - Parameter spread: -1 to 1; moves the greatest age by up to a tenth, so that connections which were made
  ///   together do not all end together.
  init(options: ServerOptions, now: Int64, spread: Double) {
    endsAt = options.maximumConnectionAge.map { age in
      now.addingClamped(Int64(clamping: age.nanoseconds, times: 1 + 0.1 * spread))
    }
    ageGrace = options.maximumConnectionAgeGrace?.nanoseconds
    idleLimit = options.maximumConnectionIdle?.nanoseconds
    pingAfter = options.keepaliveInterval?.nanoseconds
    pingTimeout = options.keepaliveTimeout.nanoseconds
    idleSince = now
    heardAt = now
  }

  /// A PING of ours has had no answer yet.
  var isAwaitingPong: Bool { pingedAt != nil }

  /// - Parameters:
  ///   - hasHeard: Bytes came since the last check.
  ///   - hadCalls: Calls are under way, or were since the last check.
  mutating func check(hasHeard: Bool, hadCalls: Bool, now: Int64) -> Action? {
    if hadCalls { idleSince = now }
    if hasHeard {
      heardAt = now
      pingedAt = nil
    }
    if let action = checkKeepalive(now) { return action }
    if let drainedAt {
      guard let ageGrace, now - drainedAt >= ageGrace else { return nil }
      self.drainedAt = .max  // said once
      return .cutShort
    }
    let isOld = endsAt.map { now >= $0 } ?? false
    let isIdle = idleLimit.map { now - idleSince >= $0 } ?? false
    guard isOld || isIdle else { return nil }
    drainedAt = now
    return .drain
  }

  private mutating func checkKeepalive(_ now: Int64) -> Action? {
    guard let pingAfter else { return nil }
    if let pingedAt { return now - pingedAt >= pingTimeout ? .close : nil }
    guard now - heardAt >= pingAfter else { return nil }
    pingedAt = now
    return .ping
  }
}

extension ConnectionLifetime {
  /// How often to check, so that every configured limit is met to about a quarter.
  static func checkInterval(_ options: ServerOptions) -> TimeAmount {
    let limits = [
      options.handshakeTimeout, options.writeStallTimeout, options.requestTimeout, options.maximumConnectionAge,
      options.maximumConnectionAgeGrace, options.maximumConnectionIdle, options.keepaliveInterval,
      options.keepaliveInterval.map { _ in options.keepaliveTimeout },
    ]
    let shortest = limits.compactMap { $0?.nanoseconds }.min() ?? .max
    return .nanoseconds(max(10_000_000, min(shortest / 4, 2_000_000_000)))
  }
}

extension Int64 {
  fileprivate func addingClamped(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  fileprivate init(clamping value: Int64, times factor: Double) {
    self = Int64(exactly: (Double(value) * factor).rounded()) ?? .max
  }
}
