import ServiceKit
import Synchronization

/// By what this process chooses from the queue: its settings, and what it remembers.
struct QueueTerms: Sendable {
  static let toolLimit = Setting<ToolLimits>(
    "tool-limit", default: ToolLimits(),
    help: "how many calls of these tools run at a time, whatever maximum-running allows")
  static let defaultToolLimit = Setting<Int>(
    "default-tool-limit", default: 64, help: "how many calls of any other tool run at a time", in: 1...100_000)
  static let fairnessWeight = Setting<Int>(
    "fairness-weight", default: 10,
    help: "how many points of priority each running mission of an owner takes from the owner's waiting ones; "
      + "0: owners only take turns", in: 0...1_000)

  static let toolQueue = Setting<Int>(
    "tool-queue", default: 64,
    help: "while so many missions of an owner wait for tools, each with its budget reserved, none of the owner's new "
      + "ones is begun", in: 1...100_000)

  /// How many points of priority each running mission of an owner takes from those of the same owner that wait.
  var fairnessWeight = Self.fairnessWeight.defaultValue
  /// How many missions of one owner may wait for tools before its new ones have to wait for these.
  var toolQueue = Self.toolQueue.defaultValue
  var places = ToolPlaces()
  let shares = OwnerShares()
}

extension QueueTerms {
  /// Throws `SettingError` where a limit is set for a tool that there is not.
  init(_ settings: Settings, tools: [String]) throws {
    let limits = settings[Self.toolLimit]
    try limits.check(tools)
    self.init(
      fairnessWeight: settings[Self.fairnessWeight], toolQueue: settings[Self.toolQueue],
      places: ToolPlaces(limits, standardLimit: settings[Self.defaultToolLimit]))
  }
}

/// When each owner was last served, and up to which owner the queue was looked through. It is forgotten when the
/// process ends; then owners count as waiting since their missions were queued.
final class OwnerShares: Sendable {
  /// How many owners are remembered; the ones served longest ago are forgotten first, of which it matters least.
  static let limit = 20_000

  private struct State {
    var lastBegun: [String: Int64] = [:]
    var cursor = ""
  }

  private let state = Mutex(State())

  var lastBegun: [String: Int64] { state.withLock { $0.lastBegun } }

  var count: Int { state.withLock { $0.lastBegun.count } }

  /// After which owner the next look through the queue begins, where there are too many for one.
  var cursor: String {
    get { state.withLock { $0.cursor } }
    set { state.withLock { $0.cursor = newValue } }
  }

  /// - Parameter time: in microseconds since 1970.
  func began(_ owner: String, at time: Int64) {
    state.withLock { state in
      state.lastBegun[owner] = max(time, state.lastBegun[owner] ?? .min)
      guard state.lastBegun.count > Self.limit else { return }
      let newest = state.lastBegun.sorted { $0.value > $1.value }.prefix(Self.limit / 2)
      state.lastBegun = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
    }
  }
}
