import CoreMetrics
import RPC
import Synchronization

/// The duration histograms of one kind of call, by method and code. A call costs one look into a dictionary by its
/// path; the histogram of each code is made when the code first comes.
final class CallDurations: Sendable {
  private final class MethodTimers: Sendable {
    private let make: @Sendable (Status.Code) -> Timer
    private let byCode = Mutex<[Timer?]>(Array(repeating: nil, count: Status.Code.allCases.count))

    init(_ make: @escaping @Sendable (Status.Code) -> Timer) {
      self.make = make
    }

    func timer(_ code: Status.Code) -> Timer {
      byCode.withLock { timers in
        if let timer = timers[code.rawValue] { return timer }
        let timer = make(code)
        timers[code.rawValue] = timer
        return timer
      }
    }
  }

  /// How many methods have series of their own; those of all others are labelled `unknown`.
  static let methodLimit = 200

  private let unknown: MethodTimers
  /// Those known from the start, found without a lock.
  private let known: [String: MethodTimers]
  /// Those that came later, if any may.
  private let others = Mutex<[String: MethodTimers]>([:])
  private let takesOthers: Bool
  /// For the path of a method; nil if it is none.
  private let make: @Sendable (_ path: String) -> MethodTimers?

  /// - Parameters:
  ///   - paths: The methods that have series of their own; nil for whichever come first.
  ///   - labels: A method's, without the code; also of the service and method `unknown`.
  init(
    _ series: MetricSeries, paths: [String]? = nil, in metrics: MetricsRegistry,
    labels: @escaping @Sendable (_ service: String, _ method: String) -> [(String, String)]
  ) {
    metrics.declare(series)
    let timers = { @Sendable (service: String, method: String) in
      let own = labels(service, method)
      return MethodTimers { code in metrics.timer(series, labels: own + [("code", code.name)]) }
    }
    make = { path in
      let parts = path.split(separator: "/").map(String.init)
      return parts.count == 2 ? timers(parts[0], parts[1]) : nil
    }
    unknown = timers("unknown", "unknown")
    takesOthers = paths == nil
    known = (paths ?? []).reduce(into: [:]) { [make] known, path in known[path] = make(path) }
  }

  func record(_ path: String, _ code: Status.Code, since start: ContinuousClock.Instant) {
    method(path).timer(code).recordNanoseconds(start.duration(to: .now).nanoseconds)
  }

  /// Counts a call of a method that is not there. It took no time.
  func recordUnknown(_ code: Status.Code) { unknown.timer(code).recordNanoseconds(0) }

  private func method(_ path: String) -> MethodTimers {
    if let method = known[path] { return method }
    guard takesOthers else { return unknown }
    return others.withLock { methods in
      if let method = methods[path] { return method }
      guard methods.count < Self.methodLimit, let method = make(path) else { return unknown }
      methods[path] = method
      return method
    }
  }
}

/// Measures every call that is answered here, streams to their end.
struct ServerMetrics: ServerInterceptor {
  fileprivate let durations: CallDurations

  /// - Parameter methods: The paths of all methods that are served.
  init(_ metrics: MetricsRegistry, methods: [String]) {
    durations = CallDurations(BuddySeries.rpcServer, paths: methods, in: metrics) { service, method in
      [("service", service), ("method", method)]
    }
  }

  func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    let start = ContinuousClock.now
    do {
      try await next()
      durations.record(context.path, .ok, since: start)
    } catch {
      durations.record(context.path, Status(reporting: error).code, since: start)
      throw error
    }
  }
}

extension ServerMetrics {
  /// Callers choose what they ask for, so all such calls share one method.
  func refused(_ status: Status) { durations.recordUnknown(status.code) }
}

/// Measures every call of other services. All clients of one service share its histograms.
final class ClientMetrics: Sendable {
  /// What stands around one service's calls.
  private struct Interceptor: ClientInterceptor {
    let durations: CallDurations

    func begin(_ call: inout OutgoingCall) -> CallEnd? {
      let (path, start) = (call.path, ContinuousClock.now)
      return { status in durations.record(path, status.code, since: start) }
    }
  }

  private let metrics: MetricsRegistry
  private let byPeer = Mutex<[ServiceName: CallDurations]>([:])

  init(_ metrics: MetricsRegistry) {
    self.metrics = metrics
    metrics.declare(BuddySeries.rpcClient)
  }

  func interceptor(_ peer: ServiceName) -> any ClientInterceptor {
    let durations = byPeer.withLock { known in
      if let durations = known[peer] { return durations }
      let durations = CallDurations(BuddySeries.rpcClient, in: metrics) { _, method in
        [("peer", peer.rawValue), ("method", method)]
      }
      known[peer] = durations
      return durations
    }
    return Interceptor(durations: durations)
  }
}

extension Duration {
  /// Rounded down; at most 292 years.
  var nanoseconds: Int64 {
    components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
  }
}
