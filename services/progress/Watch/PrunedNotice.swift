/// When a watcher of all missions has to be told that some of the events it is about to get are not kept any more: once
/// for all that was pruned until then. Pure.
struct PrunedNotice {
  /// Up to where it knows; nil before the first piece for one who began with whatever is kept.
  private var told: UInt64?

  /// - Parameter position: what the watcher goes on after; 0 asks for everything that is kept, and nothing more.
  init(from position: UInt64) { told = position == 0 ? nil : 0 }

  /// The position up to which the watcher has to be told; nil if there is nothing to tell.
  /// - Parameter pruned: where events are missing after the watcher's position: the last of those.
  mutating func due(_ pruned: UInt64?) -> UInt64? {
    defer { told = max(told ?? 0, pruned ?? 0) }
    guard let told, let pruned, pruned > told else { return nil }
    return pruned
  }
}
