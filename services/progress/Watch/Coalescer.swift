import Messages
import RPC
import Stubs

/// Leaves out steps' progress that newer progress of the same step follows, for a watcher who asked for it and is
/// behind. Nothing else is ever left out.
struct Coalescer {
  struct Entry {
    let event: StoredEvent
    /// How many directly before it were left out.
    let leftOut: UInt32
  }

  /// How many events a watcher has to be behind for more than; 0: nothing is left out.
  private let threshold: UInt64
  /// Of each mission, what was left out and nobody was told of yet.
  private var leftOut: [String: UInt32] = [:]

  init(after threshold: UInt32) { self.threshold = UInt64(threshold) }

  /// What the watcher gets of events that follow on those of the call before.
  ///
  /// - Parameters:
  ///   - holdsBack: The last event only shows what follows the one before it; it will come again.
  ///   - distance: How many events a watcher who gets this one is behind, this one included.
  mutating func thin(
    _ events: [StoredEvent], holdsBack: Bool = false, distance: (StoredEvent) -> UInt64
  ) -> [Entry] {
    let mine = holdsBack ? events.dropLast() : events[...]
    guard threshold > 0 else { return mine.map { Entry(event: $0, leftOut: 0) } }
    let outdated = outdated(in: events, distance: distance)
    var entries: [Entry] = []
    for (event, isOutdated) in zip(mine, outdated) {
      let mission = event.event.missionId
      if isOutdated {
        leftOut[mission, default: 0] += 1
      } else {
        entries.append(Entry(event: event, leftOut: leftOut.removeValue(forKey: mission) ?? 0))
      }
    }
    return entries
  }

  private func outdated(in events: [StoredEvent], distance: (StoredEvent) -> UInt64) -> [Bool] {
    var next: [String: StoredEvent] = [:]
    var result = [Bool](repeating: false, count: events.count)
    for (index, event) in events.enumerated().reversed() {
      let mission = event.event.missionId
      if let next = next[mission], event.event.isOutdated(by: next.event), distance(event) > threshold {
        result[index] = true
      }
      next[mission] = event
    }
    return result
  }
}

extension ProgressEvent {
  /// Whether the mission's next event says all that this one does.
  fileprivate func isOutdated(by next: ProgressEvent) -> Bool {
    type == .stepProgress && next.type == .stepProgress && step == next.step && next.sequence == sequence + 1
  }
}

/// How an entry goes out. Made here and not in the function that watches: what that one has at hand while it is
/// suspended is held for each watcher, and an event is large.
extension Coalescer.Entry {
  /// Throws `Status` INTERNAL if it cannot be encoded.
  func frame() throws -> EncodedMessage<ProgressEvent> {
    leftOut == 0 ? event.frame : try EncodedMessage(thinned, .protobuf)
  }

  /// Throws as `frame` does.
  func positionedFrame() throws -> EncodedMessage<PositionedEvent> {
    guard leftOut > 0 else { return try event.positionedFrame() }
    return try EncodedMessage(PositionedEvent(position: event.position, event: thinned), .protobuf)
  }

  private var thinned: ProgressEvent {
    var result = event.event
    result.coalesced = leftOut
    return result
  }
}
