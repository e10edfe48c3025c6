/// When a service that died is started again, and when it is given up on. Pure: it is told how long the service ran.
///
///     started ──died──▶ pause 200 ms, 400 ms … 10 s ──▶ started
///        │ ran 60 s: the pauses begin anew
///        └ died within 10 s, five times in a row; or with a status that no restart cures ──▶ given up
struct RestartPolicy: Sendable, Hashable {
  enum Decision: Sendable, Hashable {
    /// - Parameter count: restarts so far, this one included.
    case restart(after: Duration, count: Int)
    case giveUp(String)
  }

  var firstPause = Duration.milliseconds(200)
  var longestPause = Duration.seconds(10)
  /// A run of this length makes what happened before it forgotten.
  var healthyAfter = Duration.seconds(60)
  /// A run shorter than this is a failure to start.
  var earlyWithin = Duration.seconds(10)
  var earlyDeathsAllowed = 5

  private(set) var restarts = 0
  private var pause: Duration?
  private var earlyDeaths = 0

  /// 64 (usage): the next start would end alike. A database that is locked (73) may be free in a moment.
  private static let incurable: Set<Int32> = [64]

  init() {}

  mutating func died(_ ending: ServiceEnding, after uptime: Duration) -> Decision {
    switch ending {
    case .exited(let status) where Self.incurable.contains(status):
      return .giveUp("it cannot run as it was started (exit status \(status))")
    case .notStarted(let reason): return .giveUp("it cannot be started: \(reason)")
    default: break
    }
    earlyDeaths = uptime < earlyWithin ? earlyDeaths + 1 : 0
    if earlyDeaths >= earlyDeathsAllowed {
      return .giveUp("it died \(earlyDeaths) times in a row within \(DurationText.spoken(earlyWithin)) of its start")
    }
    if uptime >= healthyAfter { pause = nil }
    let next = pause.map { min($0 * 2, longestPause) } ?? firstPause
    pause = next
    restarts += 1
    return .restart(after: next, count: restarts)
  }
}

/// How a service's process ended.
enum ServiceEnding: Sendable, Hashable, CustomStringConvertible {
  case exited(Int32)
  case killed(signal: Int32)
  case notStarted(String)

  var description: String {
    switch self {
    case .exited(let status): "exited with status \(status)"
    case .killed(let signal): "was killed by signal \(signal)\(Self.names[signal].map { " (\($0))" } ?? "")"
    case .notStarted(let reason): "could not be started (\(reason))"
    }
  }

  private static let names: [Int32: String] = [
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
    11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM",
  ]
}
