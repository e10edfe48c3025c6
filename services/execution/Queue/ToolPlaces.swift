import Storage
import Synchronization

/// How many calls of each tool this process runs and may run.
///
/// A place is taken under the mission's lease, before the execution step begins, and kept until the step or the run is
/// over. A mission that gets none gives its own place back and waits in the queue, so a tool that is full keeps nobody
/// but its own callers waiting.
final class ToolPlaces: Sendable {
  private struct State {
    var taken: [Lease: String] = [:]
    var running: [String: Int] = [:]
    /// What somebody in the queue waits for, as far as this process knows.
    var waitedFor: Set<String> = []
    var whenFreed: @Sendable () -> Void = {}

    mutating func take(_ tool: String, for lease: Lease, limit: Int) -> Bool {
      if taken[lease] == tool { return true }
      guard running[tool, default: 0] < limit else { return false }
      leave(lease)
      taken[lease] = tool
      running[tool, default: 0] += 1
      return true
    }

    @discardableResult
    mutating func leave(_ lease: Lease) -> String? {
      guard let tool = taken.removeValue(forKey: lease) else { return nil }
      running[tool, default: 1] -= 1
      return tool
    }
  }

  let limits: ToolLimits
  /// Of a tool that `limits` do not name.
  let standardLimit: Int
  private let state = Mutex(State())

  /// - Parameter standardLimit: 1 or more.
  init(_ limits: ToolLimits = ToolLimits(), standardLimit: Int = .max) {
    self.limits = limits
    self.standardLimit = max(1, standardLimit)
  }

  /// What a mission that has no place at a tool says it waits for.
  static func shown(_ tool: String) -> String { shownPrefix + tool }

  /// The tool of that.
  static func tool(_ shown: String) -> String { String(shown.dropFirst(shownPrefix.count)) }

  private static let shownPrefix = "the tool "

  func limit(of tool: String) -> Int { limits.byTool[tool] ?? standardLimit }

  func running(_ tool: String) -> Int { state.withLock { $0.running[tool] ?? 0 } }

  func hasPlace(for tool: String) -> Bool { running(tool) < limit(of: tool) }

  /// Takes a place for a mission that the queue says is next; true too where it has one already.
  func take(_ tool: String, for lease: Lease) -> Bool {
    state.withLock { $0.take(tool, for: lease, limit: limit(of: tool)) }
  }

  /// As `take`, for a mission that comes to the tool without having waited: it overtakes nobody who does.
  func takeUnlessAwaited(_ tool: String, for lease: Lease) -> Bool {
    state.withLock { state in
      if !state.waitedFor.contains(tool), state.take(tool, for: lease, limit: limit(of: tool)) { return true }
      state.waitedFor.insert(tool)
      return false
    }
  }

  /// Gives the place of a mission back, if it has one.
  func leave(_ lease: Lease) {
    let whenFreed = state.withLock { state -> (@Sendable () -> Void)? in
      guard let tool = state.leave(lease), state.waitedFor.contains(tool) else { return nil }
      return state.whenFreed
    }
    whenFreed?()
  }

  /// Gives back what was taken for claims that came to nothing.
  func keep(only leases: Set<Lease>) {
    state.withLock { state in
      for lease in state.taken.keys where !leases.contains(lease) { state.leave(lease) }
    }
  }

  /// - Parameter tools: what somebody in the queue waits for now.
  func areAwaited(_ tools: Set<String>) {
    state.withLock { $0.waitedFor = tools }
  }

  /// Calls `body` whenever a place becomes free that somebody waits for; it must be quick.
  func whenFreed(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.whenFreed = body }
  }
}
