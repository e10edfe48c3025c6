import Foundation
import Messages

/// Which missions' events to watch; what is empty lets all through.
struct EventSelection: Sendable, Hashable {
  var owner = ""
  var labels: [String: String] = [:]
  var states: [MissionState] = []
  var recipe = ""

  var query: [(String, String)] {
    var query: [(String, String)] = []
    if !owner.isEmpty { query.append(("owner", owner)) }
    query += labels.sorted { $0.key < $1.key }.map { ("label", "\($0.key):\($0.value)") }
    query += states.map { ("state", $0.label) }
    if !recipe.isEmpty { query.append(("recipe", recipe)) }
    return query
  }
}

/// Where one is among the events of all missions.
struct AllEventsPlace: StreamPlace {
  let selection: EventSelection
  /// Of the last event seen; nil where only what comes from now on is asked for, and nothing has come.
  private(set) var position: UInt64?
  /// Up to which position it was told that some events are not kept any more.
  private var pruned: UInt64 = 0

  /// - Parameter position: 0 for everything that is kept, nil for what comes from now on.
  init(_ selection: EventSelection, after position: UInt64?) {
    self.selection = selection
    self.position = position
  }

  var path: [String] { ["events"] }
  var query: [(String, String)] {
    [position.map { ("after_position", String($0)) } ?? ("from_now", "true")] + selection.query
  }
  var lastEventID: String? { position.map(String.init) }
  var progress: UInt64 { position ?? 0 }
  var advice: String {
    let start = position.map { "--after \($0)" } ?? "--from-now"
    return "go on with `buddy mission watch --all \(start)`"
  }

  mutating func take(_ event: ServerSentEvent, isFirst: Bool) throws -> StreamStep<PositionedEvent> {
    // A gap's data says where it ends, which is its id, or up to where events are not kept any more.
    let isGap = event.type == "gap"
    guard let progress = isGap ? ProgressEvent(type: .gap) : try ProgressEvent.decoded(event) else { return .passOver }
    guard let next = UInt64(event.id) else {
      throw CommandError.unexpected("an event of the stream of all missions has no position")
    }
    if isGap, let end = NotKept.end(event.data) {
      // Each new connection says so again.
      guard end > pruned else { return .passOver }
      pruned = end
      return .show(PositionedEvent(position: next, event: ProgressEvent(sequence: end, type: .gap)))
    }
    if let position, next <= position { return .passOver }
    // Behind the live events there are the stored ones: asked for again, nothing is left out. Where it still is, it is
    // not kept any more.
    if isGap, !isFirst, position != nil { return .askAgain("this reader is behind") }
    position = next
    return .show(PositionedEvent(position: next, event: progress))
  }

  /// What was passed over until now belongs to others, or was before the start.
  mutating func stands(at id: String) {
    guard let next = UInt64(id) else { return }
    position = max(next, position ?? 0)
  }
}

/// The data of a gap that is about what is not kept any more.
private struct NotKept: Decodable {
  let prunedThrough: String

  /// Up to which position some events are missing; nil for any other gap.
  static func end(_ data: String) -> UInt64? {
    (try? JSONDecoder().decode(NotKept.self, from: Data(data.utf8))).flatMap { UInt64($0.prunedThrough) }
  }
}
