import Metrics
import NIOConcurrencyHelpers
import RPC

/// The duration histograms of one kind of call, by method and code. A call costs one look into a dictionary by its
/// path; the histogram of each code is made when the code first comes.
final class CallDurations: Sendable {
  private final class MethodTimers: Sendable {
    private let make: @Sendable (Status.Code) -> Timer
    private let byCode = NIOLockedValueBox<[Timer?]>(Array(repeating: nil, count: Status.Code.allCases.count))

    init(_ make: @escaping @Sendable (Status.Code) -> Timer) {
      self.make = make
    }

    func timer(_ code: Status.Code) -> Timer {
      byCode.withLockedValue { timers in
        if let timer = timers[code.rawValue] { return timer }
        let timer = make(code)
        timers[code.rawValue] = timer
        return timer
      }
    }
  }

  private let limit: Int
  private let unknown: MethodTimers
  /// Those known from the start, found without a lock.
  private let known: [String: MethodTimers]
  /// Those that came later, if any may.
  private let others = NIOLockedValueBox<[String: MethodTimers]>([:])
  private let takesOthers: Bool
  /// For the path of a method; nil if it is none.
  private let make: @Sendable (_ path: String) -> MethodTimers?

  /// - Parameters:
  ///   - paths: The methods that have series of their own; nil for whichever come first.
  ///   - limit: How many methods that come later have series of their own; those of all others are labelled `unknown`.
  init(_ series: CallMetrics.Series, paths: [String]?, limit: Int, factory: any MetricsFactory) {
    let timers = { @Sendable (service: String, method: String) in
      let own = series.labels(service, method)
      return MethodTimers { code in
        Timer(label: series.duration, dimensions: own + [(series.code, code.name)], factory: factory)
      }
    }
    make = { path in
      let parts = path.split(separator: "/").map(String.init)
      return parts.count == 2 ? timers(parts[0], parts[1]) : nil
    }
    self.limit = limit
    unknown = timers("unknown", "unknown")
    takesOthers = paths == nil
    known = (paths ?? []).reduce(into: [:]) { [make] known, path in known[path] = make(path) }
  }

  func record(_ path: String, _ code: Status.Code, since start: ContinuousClock.Instant) {
    method(path).timer(code).record(duration: start.duration(to: .now))
  }

  /// Counts a call of a method that is not there. It took no time.
  func recordUnknown(_ code: Status.Code) { unknown.timer(code).recordNanoseconds(0) }

  private func method(_ path: String) -> MethodTimers {
    if let method = known[path] { return method }
    guard takesOthers else { return unknown }
    return others.withLockedValue { methods in
      if let method = methods[path] { return method }
      guard methods.count < limit, let method = make(path) else { return unknown }
      methods[path] = method
      return method
    }
  }
}
