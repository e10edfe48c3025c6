import Synchronization

/// The runs that estimates have lately rested on. What this process takes in is added at once; what other processes of
/// the database take in shows when a scope is read again.
final class HistoryCache: Sendable {
  /// How many scopes are kept; of more, those asked for longest ago go.
  static let mostScopes = 64
  /// After how long a scope is read again.
  static let lifetime = Duration.seconds(60)

  private struct Entry {
    /// Newest first.
    var runs: [FinishedRun]
    var loadedAt: ContinuousClock.Instant
    var usedAt: ContinuousClock.Instant
  }

  private struct State {
    var entries: [HistoryScope: Entry] = [:]
    /// What was taken in while the scope was being read, and how many are reading it.
    var loading: [HistoryScope: (added: [FinishedRun], readers: Int)] = [:]
  }

  private let state = Mutex(State())
  private let lifetime: Duration

  init(lifetime: Duration = HistoryCache.lifetime) { self.lifetime = lifetime }

  /// How many scopes are kept at this moment.
  var count: Int { state.withLock { $0.entries.count } }

  func runs(in scope: HistoryScope) -> [FinishedRun]? {
    let now = ContinuousClock.now
    return state.withLock { state in
      guard let entry = state.entries[scope], now - entry.loadedAt < lifetime else { return nil }
      state.entries[scope]?.usedAt = now
      return entry.runs
    }
  }

  /// From here on what is added is not lost for a reader of the database that does not see it yet.
  func beginLoading(_ scope: HistoryScope) {
    state.withLock { $0.loading[scope, default: ([], 0)].readers += 1 }
  }

  /// Keeps what was read, nil if that failed, and returns it with what was added meanwhile.
  @discardableResult
  func endLoading(_ scope: HistoryScope, _ runs: [FinishedRun]?) -> [FinishedRun] {
    let now = ContinuousClock.now
    return state.withLock { state in
      let added = state.loading[scope]?.added ?? []
      state.loading[scope]?.readers -= 1
      if state.loading[scope]?.readers == 0 { state.loading[scope] = nil }
      guard let runs else { return [] }
      let merged = added.reduce(runs) { Self.merged($1, into: $0) }
      state.entries[scope] = Entry(runs: merged, loadedAt: now, usedAt: now)
      if state.entries.count > Self.mostScopes {
        let oldest = state.entries.min { $0.value.usedAt < $1.value.usedAt }
        if let oldest { state.entries[oldest.key] = nil }
      }
      return merged
    }
  }

  func add(_ run: FinishedRun) {
    state.withLock { state in
      for (scope, entry) in state.entries where scope.includes(run.key) {
        state.entries[scope]?.runs = Self.merged(run, into: entry.runs)
      }
      for scope in state.loading.keys where scope.includes(run.key) { state.loading[scope]?.added.append(run) }
    }
  }

  private static func merged(_ run: FinishedRun, into runs: [FinishedRun]) -> [FinishedRun] {
    guard !runs.contains(where: { $0.number == run.number }) else { return runs }
    let place = runs.firstIndex { $0.number < run.number } ?? runs.endIndex
    return Array((runs[..<place] + [run] + runs[place...]).prefix(DurationHistory.runsPerKey))
  }
}
